"""GET and HEAD of /outputs/... and /uploads/... (described in document.py)."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from flowscale_api.access.rules import ONE_FILE
from flowscale_api.deps import Parts
from flowscale_api.files.stored_files import file_answer

router = APIRouter(include_in_schema=False)


@router.api_route("/outputs/{path:path}", methods=["GET", "HEAD"], dependencies=[Depends(ONE_FILE)])
async def output(request: Request, gateway: Parts, path: str) -> Response:
    return await file_answer(gateway.storage, request, f"outputs/{path}")


@router.api_route("/uploads/{path:path}", methods=["GET", "HEAD"], dependencies=[Depends(ONE_FILE)])
async def uploaded(request: Request, gateway: Parts, path: str) -> Response:
    return await file_answer(gateway.storage, request, f"uploads/{path}")
