"""A function host for one machine: AWS Lambda's Invoke API in front, its Runtime API behind.

`python -m function_host --packages DIR` runs what `python -m modelkit package` builds, under
AWS's own runtime interface client (`awslambdaric`), so that boto3 in front and the function behind are as on
AWS. Instances are processes: apart from each other, but no security boundary. Nobody is authenticated,
so it listens on loopback.

How to read an answer is as on AWS. `X-Amz-Function-Error: Unhandled` marks a failure of the function, its
payload is `{"errorType", "errorMessage", ...}`:

| errorType | meaning |
|---|---|
| the exception's name (`InvalidInput`, `ModelError`, `OutOfMemory`, ...) | raised by the handler |
| `Sandbox.Timedout` | above the function's timeout; where the log tail has an INIT_REPORT line with |
| | `Status: timeout`, above the time for a cold start |
| `Runtime.ExitError` | the instance's process died |
| `Runtime.OutOfMemory` | it died at its memory limit |
| the exception's name, or `Runtime.ImportModuleError` and the like | initialisation failed: the log tail |
| | has an INIT_REPORT line with `Status: error` |
| `Function.ResponseSizeTooLarge` | the answer is above 6 MB |

A cold start shows as `Init Duration: x ms` on the REPORT line of the log tail.
"""
