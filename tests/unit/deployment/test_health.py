import pytest

from broker_config import health

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TO_BROKER = "   0: 0709001F:A7F8 0209001F:1628 01 00000000:00000000 00:00000000 00000000 10001 0 1 1 0\n"
ENDED = TO_BROKER.replace(" 01 ", " 06 ")
FROM_ELSEWHERE = TO_BROKER.replace("0709001F:A7F8 0209001F:1628", "0709001F:1628 0209001F:A7F8")


def test_an_established_connection_to_the_port_counts() -> None:
    assert health.connected([HEAD, HEAD + TO_BROKER], 5672)


@pytest.mark.parametrize("line", ["", ENDED, FROM_ELSEWHERE])
def test_nothing_else_counts(line: str) -> None:
    assert not health.connected([HEAD + line], 5672)


def test_another_port_does_not_count() -> None:
    assert not health.connected([HEAD + TO_BROKER], 5671)


def test_a_process_without_a_connection_is_unhealthy() -> None:
    wrong = health.problem("amqp://u:p@127.0.0.1:5672/v", "q", [HEAD])
    assert wrong == "the process has no connection to the broker"


def test_a_missing_setting_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STRAIGHTLINE_BROKER_URL", raising=False)
    assert health.main(["q"]) == 1
    assert "STRAIGHTLINE_BROKER_URL" in capsys.readouterr().err
