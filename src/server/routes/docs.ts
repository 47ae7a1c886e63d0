/** `/openapi.json` and `/docs`: the API about itself. Loaded when first asked for: few servers ever are. */
import type { Operation } from '../operation.ts';
import { EXAMPLE_ORIGIN, wayHere } from '../way-here.ts';

const tag = 'About';

/** @param operations all others */
export function docsOperations(operations: readonly Operation[], version: string): Operation[] {
  const own: Operation[] = [
    {
      method: 'GET',
      path: '/openapi.json',
      tag,
      summary: 'This API as OpenAPI 3.1',
      access: 'read',
      answers: { 200: { description: 'OpenAPI 3.1' } },
      curl: '$P/openapi.json',
      async run() {
        const { toOpenApi } = await import('../openapi.ts');
        return Response.json(toOpenApi(all, version));
      },
    },
    {
      method: 'GET',
      path: '/docs',
      tag,
      summary: 'This API as a page',
      access: 'read',
      answers: { 200: { description: 'HTML', type: 'text/html' } },
      async run(c) {
        const { toDocsPage } = await import('../docs-page.ts');
        const { incoming } = c.env;
        const origin = incoming.socket.remoteAddress === undefined ? EXAMPLE_ORIGIN : wayHere(incoming, '');
        return new Response(toDocsPage(all, version, origin), {
          headers: {
            'content-type': 'text/html; charset=utf-8',
            'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
          },
        });
      },
    },
  ];
  const all = [...operations, ...own];
  return own;
}
