/**
 * Bundles programs of this repository for Node: `tsx bundle_programs.ts FOLDER SOURCE…`. `a/b.ts` becomes `FOLDER/a/b.mjs`; packages stay
 * imports.
 */
import {readFile} from 'node:fs/promises';
import {pathToFileURL} from 'node:url';
import {build, type Plugin} from 'esbuild';

/** Files find others beside them: each keeps the URL of its source. */
const urlsOfSources: Plugin = {
  name: 'import.meta.url',
  setup({onLoad}) {
    onLoad({filter: /\.ts$/}, async ({path}) => {
      const text = await readFile(path, 'utf8');
      if (!text.includes('import.meta.url')) return undefined;
      const url = JSON.stringify(pathToFileURL(path).href);
      return {contents: text.replaceAll('import.meta.url', url), loader: 'ts'};
    });
  },
};

const [folder, ...sources] = process.argv.slice(2);
await build({
  entryPoints: sources,
  outbase: '.',
  outdir: folder!,
  bundle: true,
  splitting: true,
  format: 'esm',
  // of the others Node finds out first what they are
  outExtension: {'.js': '.mjs'},
  platform: 'node',
  target: 'node20',
  packages: 'external',
  logLevel: 'warning',
  plugins: [urlsOfSources],
});
