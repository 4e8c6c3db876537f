import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {layerSamplingDefaults} from '../src/layer_sampling_options';
import {owloreDefaults} from '../src/optim/owlore_options';

const root = fileURLToPath(new URL('..', import.meta.url));
const documents = [
  ...['README.md', 'CHANGELOG.md', 'demo/README.md'],
  ...readdirSync(join(root, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Names and defaults of the options table under `heading`, as the README has them. */
function optionsTable(heading: string): Record<string, string> {
  const section = read('README.md').split(`### \`${heading}\``)[1]!.split('\n## ')[0]!;
  const table = section.split('\n### ')[0]!;
  const rows = [...table.matchAll(/^\| `(\w+)` +\| `([^`]+)` +\|/gm)];
  return Object.fromEntries(rows.map(([, name, value]) => [name!, value!]));
}

/** A default as one would write it in code. */
function written(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  return value === 1e-8 ? '1e-8' : String(value);
}

describe('documentation', () => {
  it('has every option with the default that the code has', () => {
    const tables: Array<[string, object]> = [
      ['new OwLoreOptimizer(options)', owloreDefaults],
      ['new LayerSamplingCallback(options)', layerSamplingDefaults],
    ];
    for (const [heading, defaults] of tables) {
      const expected = Object.fromEntries(
        Object.entries(defaults).map(([name, value]) => [name, written(value)]),
      );
      expect(optionsTable(heading), heading).to.deep.equal(expected);
    }
  });

  it('names only files that exist', () => {
    for (const document of documents) {
      const links = [...read(document).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(
        ([, path]) => path!,
      );
      for (const link of links) {
        expect(existsSync(join(root, dirname(document), link)), `${document}: ${link}`).to.equal(
          true,
        );
      }
    }
  });

  it('maps every folder of src, each of which has a README, and every module beside them', () => {
    const map = read('docs/architecture.md').split('## How a step flows')[0]!;
    for (const entry of readdirSync(join(root, 'src'), {withFileTypes: true})) {
      const name = entry.isDirectory() ? `${entry.name}/` : entry.name;
      expect(map).to.include(`\`${name}\``);
      if (entry.isDirectory()) expect(read(`src/${name}README.md`)).to.not.equal('');
    }
  });
});
