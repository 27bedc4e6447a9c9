// The story of tests/generators, told with the types that openapi-typescript makes of openapi.yaml and openapi-fetch.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

type Caller = Record<string, string>;
const [baseUrl = "", model = ""] = process.argv.slice(2);
const alice = { "X-MaaS-Username": "alice", "X-MaaS-Group": '["users"]' };
const root = { "X-MaaS-Username": "root", "X-MaaS-Group": '["maas-admins"]' };
const as = (headers: Caller) => createClient<paths>({ baseUrl, headers });
const told = <T>(answer: { data?: T; response: Response }): T => {
  if (answer.data === undefined) throw new Error(`${answer.response.status} of ${answer.response.url}`);
  return answer.data;
};

const http = as(alice);
const budget: components["schemas"]["TokenBudget"] = { tokens: 1000, per: "day" };
const made = told(await http.POST("/v1/api-keys", { body: { name: "generated", models: [model], budget } }));
const search = { filters: { status: ["active" as const], nameContains: "gener" }, sort: { by: "name" as const } };
const found = told(await http.POST("/v1/api-keys/search", { body: search }));
const path = { params: { path: { id: made.id } } };
const record = told(await http.GET("/v1/api-keys/{id}", path));
const bearer = { Authorization: `Bearer ${made.key}` };
const own = told(await as(bearer).GET("/v1/key"));
const list = told(await as({ ...bearer, ...alice }).GET("/v1/models"));
const one = told(await as({ ...bearer, ...alice }).GET("/v1/models/{id}", { params: { path: { id: model } } }));
const verdict = told(await http.POST("/internal/v1/api-keys/validate", { body: { key: made.key } }));
const query = { interval: "total" as const, groupBy: "model,key" };
const usage = told(await http.GET("/v1/usage", { params: { query } }));
const rotated = told(await http.POST("/v1/api-keys/{id}/rotate", { ...path, body: { graceSeconds: 60 } }));
const money = { cost: "12.50", currency: "USD", per: "month" as const };
const priced = told(await as(root).PUT("/v1/api-keys/{id}/budget", { ...path, body: { budget: [money] } }));
const counted = told(
  await http.POST("/v1/api-keys/bulk-revoke", { body: { username: "alice", dryRun: true } }),
);
const revoked = told(await http.DELETE("/v1/api-keys/{id}", { params: { ...path.params, query: { keepChildren: true } } }));
const refused = await http.POST("/v1/api-keys", { body: { name: "too long", expiresIn: "9999d" } });
const nobody = await as({}).GET("/v1/api-keys/{id}", path);

console.log(
  JSON.stringify({
    key: made.key,
    found: found.data.map((key) => key.name),
    status: record.status,
    own: own.data.label,
    models: "object" in list ? list.data.some((each) => each.id === model && each.ready) : null,
    model: "object" in one ? one.id : null,
    user: verdict.valid ? verdict.username : verdict.reason,
    requests: typeof usage === "string" ? null : usage.total.requests, // a string where CSV was asked for
    rotated: rotated.key !== made.key && rotated.oldSecretValidUntil !== undefined,
    budget: priced.budget?.map((each) => ("cost" in each ? String(each.cost) : each.tokens)),
    counted: counted.dryRun ? counted.revokedCount : null,
    revoked: revoked.status,
    refused: [refused.response.status, refused.error && "code" in refused.error ? refused.error.code : null, refused.error?.error],
    nobody: [nobody.response.status, nobody.error && "refId" in nobody.error ? nobody.error.refId : null],
  }),
);
