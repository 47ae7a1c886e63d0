/** Where the command line looks by itself. */
const DEFAULT_URL = 'http://127.0.0.1:7460';

/** What `npm start` ends with: commands that work as they stand, in a shell that knows nothing of this one's settings. */
export function nextSteps(url: string, enforcing: boolean, isRoot = process.geteuid?.() === 0): string {
  const lines = [
    '',
    enforcing
      ? 'Postern is running and enforcing on this host.'
      : 'The control plane is running; this host cannot enforce (see above).',
    `The next steps, ${isRoot ? 'as root' : 'as this user or root'} in another shell (REST: ${url}, its description: ${url}/docs):`,
    '',
    '  # what listens here, each with the command that registers it',
    `  curl ${url}/v1/discover`,
    '',
    '  # say who is who',
    `  curl -X PUT ${url}/v1/workloads/shop/frontend -H 'content-type: application/json' \\`,
    `    -d '{"labels":{"app":"frontend"},"match":{"systemdUnit":"nginx.service"}}'`,
    `  curl -X PUT ${url}/v1/workloads/shop/backend -H 'content-type: application/json' \\`,
    `    -d '{"labels":{"app":"backend"},"match":{"process":{"exe":"/usr/bin/redis-server"}}}'`,
    '',
    '  # only the frontend may talk to the backend',
    `  curl -X PUT ${url}/v1/policies/cnp/shop/backend -H 'content-type: application/json' \\`,
    `    -d '{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":{"name":"backend","namespace":"shop"},"spec":{"endpointSelector":{"matchLabels":{"app":"backend"}},"ingress":[{"fromEndpoints":[{"matchLabels":{"app":"frontend"}}],"toPorts":[{"ports":[{"port":"6379","protocol":"TCP"}]}]}]}}'`,
    '',
    '  # who talks to whom, and which rule decided',
    `  curl ${url}/v1/endpoints`,
    `  curl '${url}/v1/flows?last=20'`,
    `  ./postern observe -f${url === DEFAULT_URL ? '' : ` --server ${url}`}`,
    '',
    '',
  ];
  return lines.join('\n');
}
