"""The front door over HTTP: the Open Inference Protocol (V2), and requests as resources."""
