"""A provider that shows the gateway's key, or sends the client elsewhere with its own.

A Lua filter among a cluster's upstream filters, so that it runs behind everything that touches a request, and the same
on the local gateway and in the mesh. It never sees a body that is passed on as a stream: only errors are read, and they
are short. What a request may not carry on to a model is dropped or refused long before (``keys.lua``).
"""

from __future__ import annotations

import json

from maas_api.gateway.envoy.xds import Json, extension

FILTER = "maas.keys"
"""Its name. Not that of its kind: a route that switches the reader of bodies off, which is of the same kind, would by
that name switch this one off as well."""
KEY_SHAPE = "sk-oai-"
"""How an API key of this service begins, wherever it stands."""
READ_ERROR_BYTES = 65536
"""A longer error of a provider is replaced as a whole."""
REFUSED = 502
"""What a client gets where a provider sends it elsewhere."""

_CODE = """
function envoy_on_request(handle)
  local value = handle:headers():get(CREDENTIAL)
  if value then handle:streamInfo():dynamicMetadata():set("maas.provider", "credential", value) end
end

local function say(handle, headers, status, text)
  headers:replace(":status", status)
  headers:replace("content-type", "application/json")
  headers:remove("content-encoding")
  local body = handle:body(true)
  headers:replace("content-length", tostring(body:setBytes(text)))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = tonumber(headers:get(":status"))
  if status == nil or status < 300 or status == 304 then return end
  if status < 400 then
    headers:remove("location")
    say(handle, headers, REFUSED, ELSEWHERE)
    return
  end
  local noted = handle:streamInfo():dynamicMetadata():get("maas.provider")
  local value = noted and noted["credential"]
  if value == nil then return end
  local secret = string.match(value, "%s(%S+)$") or value
  local shown = {}
  for name, line in pairs(headers) do
    if string.find(line, secret, 1, true) then shown[#shown + 1] = name end
  end
  for _, name in ipairs(shown) do headers:replace(name, "[redacted]") end
  if headers:get("content-encoding") ~= nil or tonumber(headers:get("content-length") or "0") > LONGEST then
    say(handle, headers, tostring(status), UNREADABLE)
    return
  end
  local body = handle:body(true)
  local text = tostring(body:getBytes(0, body:length()))
  if string.find(text, secret, 1, true) == nil then return end
  local parts, from = {}, 1
  while true do
    local first, last = string.find(text, secret, from, true)
    if first == nil then break end
    parts[#parts + 1] = string.sub(text, from, first - 1)
    from = last + 1
  end
  parts[#parts + 1] = string.sub(text, from)
  headers:replace("content-length", tostring(body:setBytes(table.concat(parts, "[redacted]"))))
end
"""


def hide_provider_key(credential_header: str) -> Json:
    """For a provider's cluster, behind the filter that puts the provider's key into ``credential_header``.

    A redirect does not pass, since an SDK would follow it with its credential, and an error that shows the provider's
    key is shown without it.
    """
    values = {
        "CREDENTIAL": credential_header,
        "REFUSED": str(REFUSED),
        "LONGEST": READ_ERROR_BYTES,
        "ELSEWHERE": _error("The provider sent the request elsewhere, which the gateway does not follow", "redirected"),
        "UNREADABLE": _error("The provider refused the request, in a form that the gateway cannot check", "unreadable"),
    }
    head = "\n".join(f"local {name} = {json.dumps(value)}" for name, value in values.items())
    return extension(
        FILTER,
        "envoy.extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": f"{head}\n{_CODE}"},
    )


def _error(message: str, code: str) -> str:
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return json.dumps({"type": "error", "error": error})
