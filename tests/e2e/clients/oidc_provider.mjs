// A real OpenID provider (npm: oidc-provider), which gives clients tokens for what they ask for: the last part of a
// resource's path says how they are signed.
import { generateKeyPairSync } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, port] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/x.js`));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const keys = [
  ["rsa", { modulusLength: 2048 }],
  ["ec", { namedCurve: "P-256" }],
  ["ed25519", {}],
].map(([type, options]) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }),
  use: "sig",
}));

const client = (id) => ({
  client_id: id,
  client_secret: `secret-of-${id}`,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys },
  clients: [client("batch"), client("root")],
  enabledJWA: { clientAuthSigningAlgValues: ["RS256"] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (context, resource) => ({
        scope: "chat",
        audience: resource.slice(0, resource.lastIndexOf("/")),
        accessTokenFormat: "jwt",
        accessTokenTTL: 3600,
        jwt: { sign: { alg: resource.slice(resource.lastIndexOf("/") + 1) } },
      }),
    },
  },
  extraTokenClaims: (context, token) => ({ groups: [token.clientId === "root" ? "platform" : "apps"] }),
});
provider.on("server_error", (context, error) => console.error(error));
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
