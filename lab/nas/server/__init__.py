"""The API server of a TrueNAS double: JSON-RPC 2.0 over WebSocket, one file per noun."""
