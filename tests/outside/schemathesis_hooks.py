"""What schemathesis has to be told about this API beyond its document."""

import base64
import json
import os
import time
import uuid

import requests
import schemathesis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCENE = json.loads(os.environ["TILLWATCH_SCENE"])
KEY = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(SCENE["device"]["seed"] + "="))


def device_token() -> str:
    """A token for one request: each is taken once."""

    def part(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {
        "sub": SCENE["device"]["id"],
        "aud": SCENE["device"]["cloud"],
        "exp": int(time.time()) + 45,
        "jti": str(uuid.uuid4()),
    }
    signed = f"{part({'alg': 'EdDSA', 'typ': 'JWT'})}.{part(claims)}"
    return f"{signed}.{base64.urlsafe_b64encode(KEY.sign(signed.encode())).decode().rstrip('=')}"


def new_session() -> str:
    """A session of a user whose sessions nobody else needs."""
    answer = requests.post(
        f"{SCENE['url']}/api/v1/sessions", json=SCENE["leaver"], verify=SCENE["ca"], timeout=30
    )
    answer.raise_for_status()
    return answer.json()["access_token"]


@schemathesis.auth(refresh_interval=None)
class Tokens:
    """The token that a call takes."""

    def get(self, case, context):
        raw = context.operation.definition.raw
        schemes = {name for requirement in raw.get("security", [{"user": []}]) for name in requirement}
        if "device" in schemes:
            return device_token()
        # What ends sessions ends those of somebody else than the admin who makes all other calls.
        if raw["operationId"] in ("sign_out", "end_session"):
            return new_session()
        return SCENE["token"] if "user" in schemes else None

    def set(self, case, data, context):
        if data is not None:
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.serializer("application/offset+octet-stream")
def piece(context, value):
    """A piece of an upload, as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("application/zip")
def zipped(context, response):
    """An archive is bytes, which JSON Schema takes for text."""
    return response.content.decode("latin-1")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Whoever the run itself is made of is not deleted, disabled or locked out by it."""
    if case.method == "DELETE" or "/admin/users/" in case.path:
        for name, value in (case.path_parameters or {}).items():
            if value in SCENE["needed"]:
                case.path_parameters[name] = str(uuid.uuid4())


@schemathesis.hook
def map_query(context, query):
    """Cursors are what the cloud handed out: no schema can make one. tests/rest has them, good and bad."""
    if query and isinstance(query.get("cursor"), str):
        return {name: value for name, value in query.items() if name != "cursor"}
    return query


@schemathesis.hook
def map_body(context, body):
    """To JSON Schema 5.0 is a whole number. Readers of Rust's integers take 5 alone, which is what programs write."""
    if isinstance(body, float) and body.is_integer():
        return int(body)
    if isinstance(body, list):
        return [map_body(context, item) for item in body]
    if isinstance(body, dict):
        return {name: map_body(context, value) for name, value in body.items()}
    return body


# Where data that fits the schema may be refused as `invalid_request`, by call and field, and why.
BEYOND_SCHEMAS = {
    # 43 characters of base64url are not always a point of the curve.
    "enroll_store": ["public_key"],
    # A job waits for a second to 30 days; a pattern can't count that.
    "start_job": ["queue_for"],
    # `Upload-Metadata` is base64 within a header.
    "create_upload": ["upload-metadata"],
    "append_to_upload": ["upload-checksum"],
    # The same column twice, with and without its minus.
    "list_pos_servers": ["sort"],
    # One of three has to be there.
    "admin_create_grant": ["everywhere"],
    # Only some methods have a body; a path has no empty, dotted or encoded parts.
    "relay_request": ["body", "path"],
    # Of the permissions only one is for tokens.
    "admin_create_service_token": ["permission"],
    # A pattern that allows all versions allows numbers that are too large as well.
    "admin_require_release": ["pos_version"],
    # Lines that are there already.
    "admin_import_fleet": [""],
    # Nobody but the user knows the one before.
    "change_password": ["current_password", "password"],
    # The limit is in bytes, as hashing takes them.
    "admin_create_user": ["password"],
    "admin_set_password": ["password"],
}


@schemathesis.check
def refused_for_a_reason(context, response, case):
    """422 for data that fits the schema is a matter of what is in the store, not of form."""
    generated = getattr(case.meta, "generation", None)
    if response.status_code != 422 or generated is None or not generated.mode.is_positive:
        return None
    problem = response.json()
    if problem["code"] != "invalid_request":
        return None
    known = ["cursor", *BEYOND_SCHEMAS.get(case.operation.definition.raw["operationId"], [])]
    # That no text holds NUL and no name control characters is said once in the document's description.
    beyond = [
        "control character" in error["message"] or any(error["field"].startswith(name) for name in known)
        for error in problem["errors"]
    ]
    if all(beyond):
        return None
    raise AssertionError(f"Data that fits the schema was refused: {problem['detail']}")
