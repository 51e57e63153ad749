"""The gateway: HTTP in, queue out.

It keeps nothing of its own: jobs are in the queue, files in the storage, so that any number of gateways can run
and any of them can be killed. The HTTP contract is kept here and nowhere else.

    app.py            create_app: the parts put together
    server.py         the process around it: socket, signals, graceful stop
    routes/           one module a subject; handlers of a few lines
    wire/             the connection, and what clients send, without trusting it or keeping it in memory
    uploads/ files/ jobs/ health/   what the handlers do
    problems.py       from an error to an answer
    schemas.py        the shapes of the answers
    description/      the OpenAPI document
"""

from flowscale_api.app import create_app
from flowscale_api.description.document import openapi_json
from flowscale_api.server import Server

__all__ = ["Server", "create_app", "openapi_json"]
