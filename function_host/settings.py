"""Settings of the function host."""

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """Settings of the host; each name after `STRAIGHTLINE_FUNCTIONS_`.

    Attributes:
        packages: directory of function packages.
        host: address to listen on.
        port: port to listen on.
        concurrency: limit of instances of all functions.
        function_concurrency: limit of instances of one function.
        idle: seconds that an unused instance is kept.
        init_limit: seconds that a cold start may take.
        grace: seconds that running invocations get on SIGTERM.
        deploy: whether the API may create, update and delete functions. Any client can then run code here.
    """

    packages: str
    host: str = "127.0.0.1"
    port: int = 9001
    concurrency: int = 8
    function_concurrency: int = 4
    idle: float = 60.0
    init_limit: float = 10.0
    grace: int = 5
    deploy: bool = False
