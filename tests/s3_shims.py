"""Services that are like S3 and are not S3, before a versitygw that does the work.

R2Shim refuses what R2 refuses; SupabaseShim answers below a path, with credentials of its own. Both check, and never
mend, what a client sends.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree import ElementTree

from http_relay import Answer, HttpRelay, Request
from redis_server import Certificates
from s3_servers import Endpoint, S3Server, VersityGateway

_CREDENTIAL = re.compile(r"(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/s3/aws4_request")
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<credential>[^,]+), ?SignedHeaders=(?P<names>[^,]+), ?Signature=(?P<signature>\S+)"
)
_QUERY_WORDS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")


class R2Shim(HttpRelay, Endpoint):
    """A versitygw (whose region must be `auto`) with the rules of R2. `refused` counts what it refused, by rule.

    By HTTPS, as R2 is: only there does boto3 send the trailers that R2 does not take.
    """

    type = "r2"
    region = "auto"

    def __init__(self, server: VersityGateway, certificates: Certificates) -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*certificates)
        HttpRelay.__init__(self, server.port, tls)
        self.certificate = certificates.certificate
        self.key_id, self.secret = server.key_id, server.secret
        self.refused: Counter[str] = Counter()
        self._sizes: dict[tuple[str, int], int] = {}  # of stored parts, by upload and number

    async def answer(self, request: Request) -> Answer | None:
        rule, answer = await self._judge(request)
        if answer is not None:
            self.refused[rule] += 1
        return answer

    async def got(self, request: Request, status: int, piece: bytes) -> None:
        if not piece and status == 200 and request.operation == "UploadPart":
            query = request.query
            self._sizes[query["uploadId"], int(query["partNumber"])] = request.length

    async def _judge(self, request: Request) -> tuple[str, Answer | None]:
        query, authorization = request.query, request.header("authorization") or ""
        if authorization.startswith("AWS ") or "AWSAccessKeyId" in query:
            message = "SigV2 authorization is not supported. Please use SigV4 instead."
            return "sigv2", Answer(401, "Unauthorized", message)
        payload = request.header("x-amz-content-sha256") or ""
        if payload.startswith("STREAMING-") or request.header("x-amz-trailer"):
            return "chunked", Answer(501, "NotImplemented", f"{payload or 'x-amz-trailer'} not implemented")
        for name in ("x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"):
            if value := request.header(name):
                message = f"Header '{name}' with value '{value}' not implemented"
                return "checksum", Answer(501, "NotImplemented", message)
        if request.operation == "CompleteMultipartUpload":
            *whole, last = [
                self._sizes.get((query["uploadId"], number), 0) for number in _numbers(await request.read())
            ]
            if len(set(whole)) > 1 or (whole and last > whole[0]):
                message = "All non-trailing parts must have the same length."
                return "parts", Answer(400, "InvalidPart", message)
        return "", None


class SupabaseShim(HttpRelay, Endpoint):
    """Below /storage/v1/s3, as Supabase is: a client signs the whole path. What it signed is checked here, and signed
    anew for the server behind.

    There are two ways in: the pair of keys in `key_id` and `secret`; or a session, whose id is the `project`, whose
    secret is the `anon_key`, and whose token is the `service_key`.
    """

    type = "supabase"
    path = "/storage/v1/s3"

    def __init__(self, server: S3Server, page: int | None = None) -> None:
        """`page`: uploads in one answer at most, whatever is asked for."""
        Endpoint.__init__(self)
        HttpRelay.__init__(self, server.port)
        self.region = server.region
        self.project = "127"  # the first word of the address it is reached at
        self.anon_key = f"anon.{self.secret}"
        self.service_key = f"service.{self.secret}"
        self.refused: Counter[str] = Counter()
        self._server = server
        self._page = page

    @property
    def project_url(self) -> str:
        return self.url.removesuffix(self.path)

    async def answer(self, request: Request) -> Answer | None:
        if not request.path.startswith(f"{self.path}/"):
            return self._refusal(404, "NotFound", f"There is nothing at {request.path}.")
        signed = _signed(request)
        if signed is None:
            return self._refusal(403, "AccessDenied", "Missing signature")
        credential = _CREDENTIAL.fullmatch(signed.credential)
        token = request.header("x-amz-security-token") or request.query.get("X-Amz-Security-Token")
        key_id, secret = (self.project, self.anon_key) if token else (self.key_id, self.secret)
        if credential is None or credential["key"] != key_id or credential["region"] != self.region:
            return self._refusal(403, "InvalidAccessKeyId", "There is no such key in this project and region.")
        if token and token != self.service_key:
            return self._refusal(403, "InvalidToken", "The session token should be a valid JWT token")
        if signed.signature != signed.expected(request, secret, self.region):
            return self._refusal(403, "SignatureDoesNotMatch", "The signature is not the one of this request.")
        if signed.ends is not None and signed.ends < time.time():
            return self._refusal(403, "AccessDenied", "Request has expired")
        self._sign_anew(request, signed.payload)
        return None

    def _refusal(self, status: int, code: str, message: str) -> Answer:
        self.refused[code] += 1
        return Answer(status, code, message)

    def _sign_anew(self, request: Request, payload: str) -> None:
        """As the server's own user; nothing else of the request changes but its path."""
        ours = {"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
        words = {*_QUERY_WORDS, "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-SHA256"}
        pairs = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
        request.target = request.target.removeprefix(self.path)
        if self._page is not None and request.operation == "ListMultipartUploads":
            pairs.append(("max-uploads", str(self._page)))
        query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs if k not in words)
        request.target = f"{request.path}?{query}" if query else request.path
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = [(name, value) for name, value in request.headers if name.lower() not in ours]
        request.headers = [*kept, ("x-amz-date", moment), ("x-amz-content-sha256", payload)]
        names = sorted(name.lower() for name, _ in request.headers if name.lower().startswith(("x-amz-", "host")))
        server = self._server
        signature = _signature(request, names, payload, moment, self.region, server.secret)
        credential = f"{server.key_id}/{moment[:8]}/{self.region}/s3/aws4_request"
        request.headers.append(
            (
                "Authorization",
                f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={signature}",
            )
        )


class _Signed:
    """What a client says it signed, and how."""

    def __init__(self, said: Mapping[str, str], moment: str, payload: str, ends: float | None) -> None:
        self.credential = said["credential"]
        self.names = said["names"].split(";")
        self.signature = said["signature"]
        self.moment = moment
        self.payload = payload
        self.ends = ends  # Unix seconds

    def expected(self, request: Request, secret: str, region: str) -> str:
        return _signature(request, self.names, self.payload, self.moment, region, secret)


def _signed(request: Request) -> _Signed | None:
    """Of the header, or of the query of a presigned address."""
    authorization = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
    if authorization is not None:
        moment, payload = request.header("x-amz-date"), request.header("x-amz-content-sha256")
        if moment is None or payload is None:
            return None
        return _Signed(authorization.groupdict(), moment, payload, None)
    query = request.query
    if "X-Amz-Signature" not in query or any(word not in query for word in _QUERY_WORDS):
        return None
    said = {
        "credential": query["X-Amz-Credential"],
        "names": query["X-Amz-SignedHeaders"],
        "signature": query["X-Amz-Signature"],
    }
    begun = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    return _Signed(said, query["X-Amz-Date"], "UNSIGNED-PAYLOAD", begun + int(query["X-Amz-Expires"]))


def _signature(request: Request, names: Sequence[str], payload: str, moment: str, region: str, secret: str) -> str:
    """Signature Version 4 of the request, over the headers named."""
    pairs = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
    query = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in pairs if k != "X-Amz-Signature")
    headers = "".join(f"{name}:{' '.join((request.header(name) or '').split())}\n" for name in names)
    canonical = "\n".join(
        [
            request.method,
            quote(unquote(request.path), safe="/-_.~"),
            "&".join(f"{key}={value}" for key, value in query),
            headers,
            ";".join(names),
            payload,
        ]
    )
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for word in (moment[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _numbers(body: bytes) -> list[int]:
    """Of the parts that a completion names, in its order."""
    found = ElementTree.fromstring(body).iter()
    return [int(element.text or 0) for element in found if element.tag.rpartition("}")[2] == "PartNumber"]
