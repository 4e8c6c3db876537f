/**
 * Programs of this repository in processes of their own. They are bundled first, as the package's own are: from its source files a
 * program takes a second longer to start, and the tests start a hundred.
 */
import {execFileSync, spawn, type ChildProcess, type StdioOptions} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

const programs = [
  'src/cli/main',
  'demo/demo',
  'test/checkpoint/killed_program',
  'test/checkpoint/resumed_program',
  'test/cli/main_with_any_backend',
  'test/cli/torch/run_in_process',
  'test/files/finish_in_process',
  'test/files/lock_in_process',
  'test/hostile/run_in_process',
  'test/kernels/kernels_under_signals',
  'test/kernels/rounded_product',
  'test/kernels/training_loop',
  'test/kernels/wasm/threads_program',
  'test/soak/training',
  'test/support/on_demand_program',
] as const;

export type ProgramName = (typeof programs)[number];

/** How a program is started. */
export interface ProgramOptions {
  /** Options of Node. */
  node?: readonly string[];
  /** Variables beside those of this process. */
  env?: NodeJS.ProcessEnv;
  stdio?: StdioOptions;
}

/** What a program has left behind. */
export interface ProgramResult {
  stdout: string;
  stderr: string;
  /** The exit status; null after a signal. */
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Starts a program, in the root of the repository. */
export function startProgram(
  name: ProgramName,
  args: readonly string[],
  {node = [], env = {}, stdio = 'pipe'}: ProgramOptions = {},
): ChildProcess {
  const all: NodeJS.ProcessEnv = {...process.env, ...env};
  delete all['DEBUG'];
  const program = join(bundleFolder(), `${name}.mjs`);
  return spawn(process.execPath, [...node, program, ...args], {cwd: root, env: all, stdio});
}

/** Waits for its end. */
export function resultOf(child: ChildProcess): Promise<ProgramResult> {
  const output = {stdout: '', stderr: ''};
  child.stdout?.on('data', (text: Buffer) => (output.stdout += text.toString()));
  child.stderr?.on('data', (text: Buffer) => (output.stderr += text.toString()));
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({...output, code, signal}));
  });
}

/** Runs a program to its end. */
export function runProgram(...of: Parameters<typeof startProgram>): Promise<ProgramResult> {
  return resultOf(startProgram(...of));
}

let bundles: string | undefined;

/** The folder of the bundles, made at the first call. This process removes it when it ends. */
function bundleFolder(): string {
  if (bundles !== undefined) return bundles;
  const parent = join(root, 'node_modules', '.cache'); // inside of the repository, where packages are found
  mkdirSync(parent, {recursive: true});
  const folder = mkdtempSync(join(parent, 'tfjs-owlore-programs-'));
  process.on('exit', () => rmSync(folder, {recursive: true, force: true}));
  const program = fileURLToPath(new URL('bundle_programs.ts', import.meta.url));
  const sources = programs.map((name) => `${name}.ts`);
  execFileSync(process.execPath, ['--import', 'tsx', program, folder, ...sources], {cwd: root});
  return (bundles = folder);
}
