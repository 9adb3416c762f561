// Commands that send a request from a shell. They have $KEY where the key belongs, never the key.

/** The programs that can send a request. */
export const PROGRAMS = ["curl", "grpcurl", "buf curl"];

/** The command with which a program sends a request, which is a JSON object, to the server of the page at `place`. */
export function commandOf(program, contract, method, request, { isAuthenticated = false, place = location } = {}) {
  const header = contract.authenticates || isAuthenticated ? ['-H "authorization: Bearer $KEY"'] : [];
  const call = { contract, method, header, body: compact(request), place };
  if (program === "grpcurl") return grpcurl(call);
  if (program === "buf curl") return bufCurl(call);
  return method.isStream ? curlStream(call) : curl(call);
}

// JSON without white space between its tokens. Numbers stay as they are: JavaScript would round large ones.
function compact(json) {
  return json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
}

function curl({ method, header, body, place }) {
  return lines("curl -sS", ...header, "-H 'content-type: application/json'", `--data-raw ${quoted(body)}`, url(place, method));
}

// An envelope is a byte of flags and four bytes of length, before the request and before each response.
function curlStream({ method, header, body, place }) {
  const length = new TextEncoder().encode(body).length;
  const octal = [24, 16, 8, 0].map((shift) => `\\${((length >>> shift) & 255).toString(8).padStart(3, "0")}`).join("");
  return lines(`printf '\\000${octal}%s' ${quoted(body)}`, "| curl -sSN", ...header,
    "-H 'content-type: application/connect+json'", "--data-binary @- --output -", url(place, method));
}

function url(place, method) {
  return quoted(`${place.origin}/${method.path}`);
}

function grpcurl({ contract, method, header, body, place }) {
  const plain = contract.grpc.isTls ? "" : " -plaintext";
  return lines(`grpcurl${plain}`, ...header, `-d ${quoted(withPaths(contract, method, body))}`, `${quoted(grpcAddress(contract, place))} ${method.path}`);
}

function bufCurl({ contract, method, header, body, place }) {
  const [scheme, plain] = contract.grpc.isTls ? ["https", ""] : ["http", " --http2-prior-knowledge"];
  return lines(`buf curl --protocol grpc${plain}`, ...header, `-d ${quoted(body)}`, quoted(`${scheme}://${grpcAddress(contract, place)}/${method.path}`));
}

// A command on lines that a shell joins.
function lines(...parts) {
  return parts.join(" \\\n  ");
}

// A request for grpcurl, which takes a field mask only as a list of the names in the contract (grpcurl#393).
function withPaths(contract, method, body) {
  const mask = contract.fields(method.request).find((field) => field.type === "google.protobuf.FieldMask");
  if (!mask) return body;
  const listed = (names) => ({ paths: names.split(",").filter(Boolean).map(underscored) });
  const text = new RegExp(`"(?:${mask.name}|${mask.json})":"([^"]*)"`);
  return body.replace(text, (_, names) => `"${mask.name}":${JSON.stringify(listed(names))}`);
}

function underscored(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function grpcAddress(contract, place) {
  return `${place.hostname}:${contract.grpc.port}`;
}

// Text as one word of a shell. So are names of hosts: browsers accept most characters in them, and [::1] is a pattern.
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
