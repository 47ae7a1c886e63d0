import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Unmet } from './step.mjs';

/** Path of the Node that Postern runs on: the npm package node-linux-{x64,arm64} of the lock, not the machine's own. */
export function pinnedNode(root) {
  const path = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new Unmet(
      `No pinned Node at ${path}: Postern runs on x64 and arm64 Linux; "npm ci" with optional packages brings it`,
    );
  }
  return path;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) console.log(pinnedNode(process.cwd()));
