"""The HTTP gateway: the Open Inference Protocol (V2) at `/v2`, requests as resources at `/v1`."""
