"""The Kubernetes API: requests read into actions, and the streams of exec, attach and port-forward."""
