/**
 * Runs the tests of the optimizer, the callback, the scores and the programs on the webgl backend, in headless chromium: the same
 * files that mocha runs in Node on the others, bundled for the page. The last line has the counts; exits with 1 if a test failed.
 *
 *   npm run test:webgl                         # needs chromium on the path, or in CHROMIUM
 *   npm run test:webgl -- 'training runs'      # those whose titles match
 */
import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {fileURLToPath} from 'node:url';
import type {Plugin} from 'esbuild';
import {bundlePage, runPage, scriptPage} from '../tools/run_page';
import type {Progress} from './chromium/run_mocha';
import type {SuiteReport} from './chromium/suite';

/** A file that a test in the page wants written. */
interface WrittenFile {
  path: string;
  text: string;
}

const root = new URL('..', import.meta.url);

/**
 * Updates, bases, scores and training runs against their references, memory, every kind of model, and the programs: files whose
 * tests read nothing but fixtures. Not more of them, because a software driver takes long to compile a shader for each new shape.
 */
const patterns = [
  /^(memory_contract|works_with)_test\.ts$/,
  /^owlore\/(owlore_optimizer|layer_sampling_training)_test\.ts$/,
  /^owlore\/optimizer\/(\w+\/)?\w+_test\.ts$/,
  /^owlore\/scores\/\w+_test\.ts$/,
  /^programs\/programs_test\.ts$/,
  /^llama\/(loss|training)_test\.ts$/,
];

const paths = readdirSync(new URL('test/', root), {recursive: true, encoding: 'utf8'});
const files = patterns
  .flatMap((pattern) => {
    const found = paths.filter((path) => pattern.test(path));
    if (found.length === 0) throw new Error(`no test has a path like ${pattern}`);
    return found;
  })
  .sort();
const nodeModules = fileURLToPath(new URL('chromium/node_modules.ts', import.meta.url));
/** gpt-tfjs assigns to a constant in code that is never reached; esbuild takes that for an error. */
const mendGptTfjs: Plugin = {
  name: 'gpt-tfjs',
  setup: ({onLoad}) =>
    onLoad({filter: /gpt-tfjs\/src\/model\.js$/}, ({path}) => ({
      contents: readFileSync(path, 'utf8').replace('const posEmb', 'let posEmb'),
    })),
};

const script = await bundlePage(null, {
  plugins: [mendGptTfjs],
  stdin: {
    resolveDir: fileURLToPath(root),
    contents: [
      "import {runSuite} from './scripts/chromium/suite';",
      ...files.map((file) => `import './test/${file}';`),
      'void runSuite();',
    ].join('\n'),
  },
  alias: {'node:fs': nodeModules, 'node:url': nodeModules},
  define: {
    'process.env.OWLORE_BACKENDS': '"webgl"',
    'process.env.OWLORE_CHOOSES': '"false"',
    'process.env.OWLORE_RECORD': JSON.stringify(process.env.OWLORE_RECORD ?? ''),
  },
});
const mocha = createRequire(import.meta.url).resolve('mocha/mocha.js');
const [grep] = process.argv.slice(2);

let suites: string[] = [];
const report = await runPage<SuiteReport>({
  html: scriptPage('/test/support/suite.js').replace(
    '<body>',
    '<script src="/mocha.js"></script><body>',
  ),
  files: {
    '/mocha.js': readFileSync(mocha),
    // Where the files of test/support would be.
    '/test/support/suite.js': script,
    '/test/': new URL('test/', root),
  },
  ...(grep === undefined ? {} : {query: new URLSearchParams({grep}).toString()}),
  timeout: 60 * 60_000,
  onProgress: (message) => {
    if ('text' in (message as object)) write(message as WrittenFile);
    else print(message as Progress);
  },
});
const {runsOn, bits, passed, failed, skipped} = report;
console.log(`\nwebgl on ${runsOn}, floating point numbers of ${bits} bits`);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
if (failed > 0 || passed === 0) process.exitCode = 1;

/** Writes a file for a test in the page; only the record of the programs is allowed. */
function write({path, text}: WrittenFile): void {
  if (!path.endsWith('/test/programs/record.json'))
    throw new Error(`a test wants to write ${path}`);
  writeFileSync(new URL('test/programs/record.json', root), text);
}

/** Prints the line of a test, and before the first one of a suite the suite's title. */
function print({path, state, milliseconds, error}: Progress): void {
  const own = path.at(-1)!;
  const around = path.slice(0, -1);
  const same = around.findIndex((title, i) => suites[i] !== title);
  for (const [i, title] of around.entries()) {
    if (same >= 0 && i >= same) console.log(`${'  '.repeat(i + 1)}${title}`);
  }
  suites = around;
  const mark = {passed: '✔', failed: '✘', skipped: '-'}[state];
  const time = milliseconds > 500 ? ` (${milliseconds} ms)` : '';
  console.log(`${'  '.repeat(around.length + 1)}${mark} ${own}${time}`);
  if (error !== undefined) console.log(error);
}
