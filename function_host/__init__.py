"""A local stand-in for AWS Lambda: its Invoke API for callers, its Runtime API for functions.

`python -m function_host --packages DIR` runs the function packages of `python -m modelkit package` under
AWS's own runtime interface client (`awslambdaric`), so that boto3 and the functions work as on AWS. Instances
are processes without a security boundary, and callers are not authenticated, so the host listens on loopback.

Responses are as on AWS. `X-Amz-Function-Error: Unhandled` marks a failure of the function, with the payload
`{"errorType", "errorMessage", ...}`:

| errorType | meaning |
|---|---|
| name of the exception (`InvalidInput`, `ModelError`, `OutOfMemory`, ...) | raised by the handler |
| `Sandbox.Timedout` | the function's timeout was exceeded, or the time limit of a cold start, if |
| | the log tail has an INIT_REPORT line with `Status: timeout` |
| `Runtime.ExitError` | the process of the instance ended |
| `Runtime.OutOfMemory` | the process ended at its memory limit |
| name of the exception, or `Runtime.ImportModuleError` and the like | the initialisation failed: the log |
| | tail has an INIT_REPORT line with `Status: error` |
| `Function.ResponseSizeTooLarge` | the response exceeds 6 MB |

After a cold start, the REPORT line of the log tail has `Init Duration: x ms`.
"""
