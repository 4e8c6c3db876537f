import {readFile} from 'node:fs/promises';
import {basename} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {build, type Plugin} from 'esbuild';

/** Where packages are found from, and nothing is published from. */
const folder = fileURLToPath(new URL('../../node_modules/.cache/owlore-bench/', import.meta.url));

/**
 * A TypeScript program as JavaScript: what runs it otherwise would count as its memory.
 *
 * @returns the file to run.
 */
export async function compile(source: string): Promise<string> {
  await build({
    entryPoints: [source],
    outdir: folder,
    outExtension: {'.js': '.mjs'},
    bundle: true,
    // Keeps an `await import(…)` of ours what it is.
    splitting: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    plugins: [sourceUrls],
  });
  return `${folder}${basename(source, '.ts')}.mjs`;
}

/** Sources that look for files beside them look beside the source. */
const sourceUrls: Plugin = {
  name: 'source urls',
  setup({onLoad}) {
    onLoad({filter: /\.ts$/}, async ({path}) => {
      const url = JSON.stringify(pathToFileURL(path).href);
      const text = await readFile(path, 'utf8');
      return {contents: text.replaceAll('import.meta.url', url), loader: 'ts'};
    });
  },
};
