"""Serve a PasteDeploy file with waitress on an inherited socket: ``python waitress_host.py INI FD [PREFIX]``."""

from __future__ import annotations

import socket
import sys

import waitress
from paste.deploy import loadapp

if __name__ == "__main__":
    ini, descriptor, prefix = sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:])
    application = loadapp(f"config:{ini}")
    waitress.serve(application, sockets=[socket.socket(fileno=descriptor)], url_prefix=prefix, threads=8)
