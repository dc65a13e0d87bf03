"""The doors: HTTP and WebSocket. Handed its parts; knows no engine, database or setting by itself."""
