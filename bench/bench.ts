/**
 * The command for all benchmarks: `npm run bench -- NAME [options]`. Each is the file of `commands/` that has its name. Its first comment
 * says what it shows and how to run it; `--help` prints that, and without a name there is a line of each.
 */
import {readdirSync, readFileSync} from 'node:fs';
import {basename} from 'node:path';

// beside PyTorch and jax-js with one thread, but where a benchmark says otherwise
process.env['OWLORE_THREADS'] ??= '1';

const folder = new URL('commands/', import.meta.url);
const names = readdirSync(folder)
  .map((file) => basename(file, '.ts'))
  .sort();
const [name, ...args] = process.argv.slice(2);

if (name === undefined) {
  console.log('npm run bench -- NAME [options]; NAME --help says more\n');
  const width = Math.max(...names.map(({length}) => length));
  for (const one of names) console.log(`${one.padEnd(width)}  ${firstComment(one)[0]}`);
} else if (!names.includes(name)) {
  console.error(`there is no benchmark ${name}; there are ${names.join(', ')}`);
  process.exitCode = 2;
} else if (args.includes('--help')) {
  console.log(firstComment(name).join('\n'));
} else {
  process.argv.splice(2, 1);
  await import(new URL(`${name}.ts`, folder).href);
}

function firstComment(name: string): string[] {
  const [comment] = /(?<=^\/\*\*\n)[^]*?(?=\n \*\/)/.exec(
    readFileSync(new URL(`${name}.ts`, folder), 'utf8'),
  )!;
  return comment.split('\n').map((line) => line.replace(/^ \* ?/, ''));
}
