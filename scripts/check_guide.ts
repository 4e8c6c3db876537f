/**
 * Runs docs/guide.md as a reader would, in an empty folder with the packed package:
 *
 *   npx tsx scripts/check_guide.ts --model FOLDER --data FILE
 *   npx tsx scripts/check_guide.ts --model FOLDER --data FILE --write
 *   npx tsx scripts/check_guide.ts --model FOLDER --data FILE --wasm
 *
 * Each `sh` block is run, and each `js` block written to the file that its first line names. Three things are given and not fetched:
 * the model of the Hub, which is a folder, what `curl` downloads, a file, and tfjs-node, as `scripts/build-tfjs-node.sh` builds it.
 * Below a block the page has its time, the highest resident memory of a process, and what the last command wrote to stdout, `finetune` to
 * stderr as well but for its progress; a line `…` stands for lines that are left out. `--write` puts those of this run there. Without it the check fails if a command writes something else than the page says, times
 * aside; numbers may differ in their last digits on another kind of processor. `--wasm` puts tfjs's wasm backend in the place of
 * tfjs-node, as the page says one may, and checks no more than that each command ends with 0: it computes other digits.
 */
import {execFileSync, spawnSync} from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {cpus, tmpdir, totalmem} from 'node:os';
import {join, resolve} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {
  guideBlocks,
  guideDifferences,
  withGuideFigures,
  type GuideFigures,
} from '../tools/guide_page';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = join(root, 'docs/guide.md');
const TFJS_NODE = '@tensorflow/tfjs-node';
const TFJS_WASM = '@tensorflow/tfjs-backend-wasm';
const HUB_NAME = 'HuggingFaceTB/SmolLM2-135M-Instruct';

/** A line of progress, of which there are more the longer a command takes. */
const PROGRESS = /^.* \d[\d.]*\/\d[\d.]*( MB)?( .*)?\n/gm;

/** In the page: where the figures are from. */
const MACHINE = /(?<=Measured on )[^]*?(?= by `npx tsx scripts\/check_guide\.ts)/;

/** Writes the process's highest resident memory, in bytes, below those of others. */
const METER = `
import {appendFileSync} from 'node:fs';
process.on('exit', () => appendFileSync(process.env.GUIDE_MEMORY, process.resourceUsage().maxRSS * 1024 + '\\n'));
`;

const {values} = parseArgs({
  options: {
    model: {type: 'string'},
    data: {type: 'string'},
    write: {type: 'boolean', default: false},
    wasm: {type: 'boolean', default: false},
  },
});
if (values.wasm && values.write) throw new Error('the figures of the page are those of tfjs-node');
if (values.model === undefined || values.data === undefined) {
  throw new Error('give --model, the folder of the model, and --data, the file that is downloaded');
}
const [model, data] = [resolve(values.model), resolve(values.data)];
for (const path of [model, data]) if (!existsSync(path)) throw new Error(`there is no ${path}`);

const text = readFileSync(page, 'utf8');
const blocks = guideBlocks(values.wasm ? text.replaceAll(TFJS_NODE, TFJS_WASM) : text);
const folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-guide-'));
try {
  const figures = runPage();
  if (values.write) writeFileSync(page, withFigures(figures));
  else if (!values.wasm) {
    const differences = guideDifferences(text, figures);
    for (const difference of differences) console.error(difference);
    process.exitCode = differences.length > 0 ? 1 : 0;
  }
} finally {
  rmSync(folder, {recursive: true, force: true});
}

/** Runs all blocks. */
function runPage(): GuideFigures[] {
  writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  writeFileSync(join(folder, 'meter.mjs'), METER);
  return blocks.map(({language, code}) => {
    if (language === 'js') {
      const name = /^\/\/ (\S+)\n/.exec(code)?.[1];
      if (name === undefined) throw new Error(`a js block has no name: ${code}`);
      writeFileSync(join(folder, name), code);
      return {seconds: 0, bytes: 0, stdout: ''};
    }
    return runBlock(code);
  });
}

function runBlock(code: string): GuideFigures {
  const commands = code.replaceAll('\\\n', ' ').trim().split('\n');
  const memory = join(folder, 'memory.txt');
  writeFileSync(memory, '');
  const start = performance.now();
  let stdout = '';
  for (const command of commands) {
    console.log(`\n$ ${command}`);
    stdout = runCommand(command, memory);
  }
  const seconds = (performance.now() - start) / 1000;
  const bytes = Math.max(0, ...readFileSync(memory, 'utf8').trim().split('\n').map(Number));
  console.log(`(${seconds.toFixed(1)} s, ${(bytes / 1e9).toFixed(2)} GB)`);
  return {seconds, bytes, stdout};
}

function runCommand(command: string, memory: string): string {
  if (command.startsWith('curl ')) {
    copyFileSync(data, join(folder, /-o (\S+)/.exec(command)![1]!));
    return '';
  }
  if (command.startsWith('npm install ')) return install(command);
  // a run tells on stderr what it does
  const all = command.includes(' finetune ') ? `${command} 2>&1` : command;
  const {status, stdout} = spawnSync('bash', ['-c', all.replaceAll(HUB_NAME, model)], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      GUIDE_MEMORY: memory,
      NODE_OPTIONS: `--import ${join(folder, 'meter.mjs')}`,
    },
  });
  process.stdout.write(stdout);
  if (status !== 0) throw new Error(`exit code ${String(status)}: ${command}`);
  return stdout.replace(PROGRESS, '').replaceAll(model, HUB_NAME);
}

/** Installs what the command says, this package as it is packed here. */
function install(command: string): string {
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], {
    cwd: root,
    encoding: 'utf8',
  });
  const tarball = `./${packed.trim().split('\n').at(-1)!}`;
  const built = join(root, '.tfjs-node/node_modules', TFJS_NODE);
  const packages = command
    .split(' ')
    .slice(2)
    .flatMap((name) => {
      if (name === 'tfjs-owlore') return [tarball];
      return name === TFJS_NODE ? dependenciesOf(built) : [name];
    });
  const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', ['install', ...quietly, ...packages], {cwd: folder, stdio: 'inherit'});
  if (!values.wasm) cpSync(built, join(folder, 'node_modules', TFJS_NODE), {recursive: true});
  return '';
}

/** What a package that was built here needs of the registry. */
function dependenciesOf(built: string): string[] {
  if (!existsSync(built)) throw new Error('run scripts/build-tfjs-node.sh first');
  const {dependencies} = JSON.parse(readFileSync(join(built, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  return Object.entries(dependencies).map(([name, version]) => `${name}@${version}`);
}

/** The page with the figures of a run, and where they are from. */
function withFigures(figures: readonly GuideFigures[]): string {
  const {model} = cpus()[0]!;
  const memory = `${Math.round(totalmem() / 2 ** 30)} GB`;
  return withGuideFigures(text, figures).replace(
    MACHINE,
    `${cpus().length} cores of ${model} with ${memory}, Node ${process.versions.node},`,
  );
}
