// The metadata services of AWS (version 2), Google and Azure at 169.254.169.254, as strict as their manuals: without the token,
// the header or the version they refuse, and so they do for a request that a proxy has forwarded. Prints `ready`, then each request.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

const AWS = new Map([
  ['env', 'prod'],
  ['Name', 'web/1 of "shop"'],
  ['aws:autoscaling:groupName', 'web'],
]);
const GCP = new Map([
  ['env', 'prod'],
  ['ssh-keys', 'root:ssh-ed25519 AAAA'],
  ['startup-script', '#!/bin/sh\necho secret'],
]);
const AZURE = [
  { name: 'env', value: 'prod' },
  { name: 'Cost Center', value: '4711; a:b' },
];
const tokens = new Set();

function aws(method, path, headers) {
  if (path === '/latest/api/token') {
    const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds']);
    if (method !== 'PUT') return [405, ''];
    if (!(seconds >= 1 && seconds <= 21_600)) return [400, ''];
    const token = randomBytes(32).toString('base64');
    tokens.add(token);
    return [200, token];
  }
  if (!tokens.has(headers['x-aws-ec2-metadata-token'])) return [401, ''];
  if (path === '/latest/meta-data/tags/instance') return [200, [...AWS.keys()].join('\n')];
  const value = AWS.get(path.replace('/latest/meta-data/tags/instance/', ''));
  return value === undefined ? [404, ''] : [200, value];
}

function gcp(path, headers) {
  if (headers['metadata-flavor'] !== 'Google') return [403, ''];
  const inner = path.replace('/computeMetadata/v1/instance/', '');
  if (inner === 'tags?alt=json') return [200, '["http-server","web"]'];
  if (inner === 'attributes/') return [200, [...GCP.keys()].map((key) => `${key}\n`).join('')];
  const value = GCP.get(inner.replace('attributes/', ''));
  return value === undefined ? [404, ''] : [200, value];
}

function azure(path, headers) {
  if (headers.metadata !== 'true') return [400, '{"error":"Bad request. Required metadata header not specified"}'];
  const { pathname, searchParams } = new URL(path, 'http://x');
  if (!/^\d{4}-\d\d-\d\d$/.test(searchParams.get('api-version') ?? '')) return [400, '{"error":"Bad request"}'];
  return pathname === '/metadata/instance/compute/tagsList' ? [200, JSON.stringify(AZURE)] : [404, ''];
}

createServer(({ method, url, headers }, response) => {
  const answer = () => {
    if (headers['x-forwarded-for'] !== undefined) return [403, ''];
    if (url.startsWith('/latest/')) return aws(method, url, headers);
    if (url.startsWith('/computeMetadata/v1/')) return gcp(url, headers);
    return url.startsWith('/metadata/') ? azure(url, headers) : [404, ''];
  };
  const [status, text] = answer();
  console.log(`${method} ${url} ${status}`);
  response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
}).listen(80, '169.254.169.254', () => console.log('ready'));
