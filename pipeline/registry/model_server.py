"""Serve a model over HTTP with MLflow's own application behind a guard and limits, in the process of `fovea serve`."""

import argparse
from typing import Any

from pipeline.mlflow_server.http_guard import guard_for, guarded_asgi
from pipeline.registry.request_limits import LimitedApplication


def main() -> None:
    """Load the model and serve it until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-uri", required=True, help="address of the model")
    parser.add_argument("--host", required=True, help="address to listen on")
    parser.add_argument("--port", required=True, type=int, help="port to listen on")
    parser.add_argument("--allowed-hosts", nargs="*", default=(), help="names under which other machines address it")
    given = parser.parse_args()
    guard = guard_for(given.host, given.allowed_hosts)
    import uvicorn
    from mlflow.pyfunc import load_model, scoring_server

    model: Any = load_model(given.model_uri)
    network = getattr(getattr(model._model_impl, "python_model", None), "_network", None)  # of versions of all ages
    app = LimitedApplication(scoring_server.init(model), () if network is None else network.input_shape)
    uvicorn.run(guarded_asgi(app, guard), host=given.host, port=given.port)


if __name__ == "__main__":
    main()
