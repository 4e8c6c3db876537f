import {execFileSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

/**
 * Checks the package as a user gets it: packs the tarball, has publint and attw look at it, installs it
 * with its peers from the registry into an empty project, and there type-checks and runs the example of
 * README.md, as an ES module and as CommonJS, loads every entry point both ways, and runs the command line.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'tfjs-owlore-package-'));

try {
  const tarball = pack();
  step('publint', () => run(root, 'npx', 'publint', '--strict', tarball));
  // node10, the look-up from before `exports`, knows no entry points beside the main one.
  step('attw', () => run(root, 'npx', 'attw', '--profile', 'node16', tarball));

  const project = join(temporary, 'project');
  step('install into an empty project', () => install(project, tarball));
  step('only what the library needs is installed', () => checkInstalled(project));

  const example = readExample();
  writeFileSync(join(project, 'example.mts'), example);
  writeFileSync(join(project, 'example.mjs'), transpile(example, ts.ModuleKind.ESNext));
  // CommonJS has no top-level await.
  const body = transpile(example, ts.ModuleKind.CommonJS);
  writeFileSync(join(project, 'example.cjs'), `(async () => {\n${body}\n})();\n`);
  step('types of the example', () => typeCheck(project));
  step('example as an ES module', () => run(project, 'node', 'example.mjs'));
  step('example as CommonJS', () => run(project, 'node', 'example.cjs'));
  step('all entry points, both ways', () => loadEntryPoints(project));
  step('command line', () => runCommandLine(project));
} finally {
  rmSync(temporary, {recursive: true, force: true});
}

function step(title: string, body: () => void): void {
  console.log(`\n# ${title}`);
  body();
}

function run(cwd: string, command: string, ...args: string[]): void {
  execFileSync(command, args, {cwd, stdio: 'inherit'});
}

function pack(): string {
  step('npm pack', () => run(root, 'npm', 'pack', '--silent', '--pack-destination', temporary));
  const name = readdirSync(temporary).find((file) => file.endsWith('.tgz'));
  if (name === undefined) throw new Error('npm pack made no tarball');
  return join(temporary, name);
}

/** The example trains on the wasm backend, so that it needs no native library. */
function install(project: string, tarball: string): void {
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private": true}\n');
  const {peerDependencies} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    peerDependencies: Record<string, string>;
  };
  const peers = ['core', 'layers', 'backend-wasm'].map((name) => {
    const full = `@tensorflow/tfjs-${name}`;
    return `${full}@${peerDependencies[full]!}`;
  });
  run(
    project,
    'npm',
    'install',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    tarball,
    ...peers,
  );
}

/** The union package would hide a use of ops that tfjs-core and tfjs-layers alone do not register. */
function checkInstalled(project: string): void {
  const installed = readdirSync(join(project, 'node_modules/@tensorflow'));
  console.log(installed.join(', '));
  if (installed.includes('tfjs')) throw new Error('@tensorflow/tfjs must not be installed');
}

/** The first code block under README's heading "Example". */
function readExample(): string {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const section = /^## Example$([^]*?)(?=^## |(?![^]))/m.exec(readme)?.[1] ?? '';
  const code = /^```(?:ts|js)\n([^]*?)^```$/m.exec(section)?.[1];
  if (code === undefined) throw new Error('README.md has no ts or js block under "## Example"');
  return code;
}

function transpile(code: string, module: ts.ModuleKind): string {
  const compilerOptions = {module, target: ts.ScriptTarget.ES2022, esModuleInterop: true};
  return ts.transpileModule(code, {compilerOptions}).outputText;
}

function typeCheck(project: string): void {
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2022', 'dom'],
    types: [],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  };
  const config = {compilerOptions, files: ['example.mts']};
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config));
  run(root, 'npx', 'tsc', '-p', project);
}

function loadEntryPoints(project: string): void {
  const {name, exports} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    name: string;
    exports: Record<string, unknown>;
  };
  const entries = Object.keys(exports)
    .filter((entry) => !entry.endsWith('.json'))
    .map((entry) => entry.replace('.', name));
  const program = `
    import assert from 'node:assert/strict';
    import {createRequire} from 'node:module';
    import '@tensorflow/tfjs-backend-wasm';
    const require = createRequire(import.meta.url);
    for (const entry of ${JSON.stringify(entries)}) {
      const names = Object.keys(await import(entry)).sort();
      assert.ok(names.length > 0, entry + ' exports nothing');
      assert.deepEqual(Object.keys(require(entry)).sort(), names);
      console.log(entry + ': ' + names.join(', '));
    }
  `;
  writeFileSync(join(project, 'entries.mjs'), program);
  run(project, 'node', 'entries.mjs');
}

/** On the model of the demo, by the backend that is installed. */
function runCommandLine(project: string): void {
  const cli = (...args: string[]): void =>
    run(project, 'npx', '--no-install', 'tfjs-owlore', ...args);
  const model = join(root, 'demo/model');
  cli('--help');
  const examples = Array.from({length: 12}, (_, i) => ({text: `Whale ${i} was white.`}));
  const data = join(project, 'texts.jsonl');
  writeFileSync(data, examples.map((example) => `${JSON.stringify(example)}\n`).join(''));
  const output = join(project, 'run');
  cli('finetune', '--model', model, '--data', data, '--output', output, '--steps', '2');
  cli('generate', '--model', join(output, 'model'), '--prompt', 'Whale', '--max-new-tokens', '8');
}
