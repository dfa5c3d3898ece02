import threading

from straightline.support.bounded_dict import BoundedDict
from straightline.support.bounded_set import BoundedSet


def test_a_dictionary_drops_its_oldest_entry() -> None:
    bounded: BoundedDict[str, int] = BoundedDict(2)
    for value, key in enumerate("abc"):
        bounded[key] = value
    assert list(bounded.items()) == [("b", 1), ("c", 2)]


def test_setting_a_key_again_makes_it_the_newest_and_reading_does_not() -> None:
    bounded: BoundedDict[str, int] = BoundedDict(2)
    bounded["a"], bounded["b"] = 1, 2
    bounded["a"] = 3
    assert bounded["b"] == 2
    bounded["c"] = 4
    assert dict(bounded) == {"a": 3, "c": 4}


def test_a_set_drops_its_oldest_id() -> None:
    bounded = BoundedSet(2)
    for each in ("a", "b", "a", "c"):
        bounded.add(each)
    assert ("a" in bounded, "b" in bounded, "c" in bounded) == (True, False, True)
    assert len(bounded) == 2


def test_threads_may_share_a_dictionary() -> None:
    bounded: BoundedDict[int, int] = BoundedDict(10)
    faults: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for number in range(start, start + 20_000):
                bounded[number % 30] = number
                bounded.pop((number * 7) % 30, None)
        except BaseException as fault:  # noqa: BLE001 - the test's thread reports it
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 5, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(bounded) <= 10
