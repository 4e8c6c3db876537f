/**
 * Writes the options into docs/options.md: what the interfaces say of each, and the defaults of the tables.
 *
 *   npx tsx scripts/options_page.ts            # after a change of an option
 *   npx tsx scripts/options_page.ts --check    # fails if the page is another
 *
 * It fails as well where an interface and a table do not have the same options and defaults.
 */
import {readFileSync, writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import * as prettier from 'prettier';
import ts from 'typescript';
import {layerSamplingDefaults} from '../src/owlore/sampling/options';
import {owloreDefaults} from '../src/owlore/optimizer/options';

const root = new URL('..', import.meta.url);
const page = fileURLToPath(new URL('docs/options.md', root));

const parts = [
  ['OwLoreOptions', 'src/owlore/optimizer/options.ts', owloreDefaults],
  ['LayerSamplingOptions', 'src/owlore/sampling/options.ts', layerSamplingDefaults],
] as const;

const old = readFileSync(page, 'utf8');
let text = old;
for (const [name, file, defaults] of parts) {
  const place = new RegExp(`(<!-- ${name} -->)[^]*?(<!-- end -->)`);
  if (!place.test(text)) throw new Error(`docs/options.md has no <!-- ${name} --> … <!-- end -->`);
  const entries = describe(name, file, new Map(Object.entries(defaults)));
  text = text.replace(place, (_, start, end) => `${start}\n\n${entries}\n\n${end}`);
}
text = await prettier.format(text, {...(await prettier.resolveConfig(page)), filepath: page});
if (!process.argv.includes('--check')) writeFileSync(page, text);
else if (text !== old) {
  console.error('docs/options.md is not up to date: npx tsx scripts/options_page.ts');
  process.exitCode = 1;
}

/** A paragraph for each option of an interface. */
function describe(name: string, file: string, defaults: ReadonlyMap<string, unknown>): string {
  const source = ts.createSourceFile(
    file,
    readFileSync(new URL(file, root), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const found = source.statements
    .filter(ts.isInterfaceDeclaration)
    .find((statement) => statement.name.text === name);
  const options = (found?.members ?? []).map((member): [option: string, comment: string] => [
    member.name!.getText(),
    ts
      .getJSDocCommentsAndTags(member)
      .map((each) => ts.getTextOfJSDocComment(each.comment) ?? '')
      .join(' ')
      .replace(/\s+/g, ' '),
  ]);
  const names = options.map(([option]) => option);
  if (names.join() !== [...defaults.keys()].join()) {
    throw new Error(`${name} has ${names.join()}, and its table ${[...defaults.keys()].join()}`);
  }
  return options
    .map(([option, comment]) => entry(option, comment, defaults.get(option)))
    .join('\n\n');
}

function entry(option: string, comment: string, value: unknown): string {
  const [sentence, said] = /Default (`[^`]+`|\S+?)(?=[.:](?:\s|$))/.exec(comment) ?? [];
  const shown = written(value);
  if (said?.replaceAll('`', '') !== shown) {
    throw new Error(`${option}: its comment has the default ${said}, and its table ${shown}`);
  }
  const title = `**\`${option}\`**${shown === undefined ? '' : ` (default \`${shown}\`)`}`;
  const rest =
    sentence === undefined
      ? comment
      : comment.replace(`${sentence}.`, '').replace(`${sentence}:`, `\`${shown}\`:`);
  const plain = rest
    .replace(/\{@link (\w+)\}/g, '`$1`')
    .replace(/\s+/g, ' ')
    .trim();
  return `${title} — ${plain}`;
}

/** A default as one would write it in code; undefined where there is none. */
function written(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return `'${value}'`;
  return value === 1e-8 ? '1e-8' : JSON.stringify(value);
}
