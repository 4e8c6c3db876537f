/** The Python that trains: whether it is there, and has what it takes. */
import {createRequire} from 'node:module';
import {delimiter, dirname, join} from 'node:path';
import {parseJsonObject} from '../../files/json';
import {runToEnd, type Program} from '../start_program';
import {UsageError} from '../usage_error';
import {counted} from '../words';

/** The packages that it takes, each from a version on. */
const NEEDED = {torch: '2.6', transformers: '4.56', safetensors: '0.4', numpy: '1.24'} as const;
const PYTHON = '3.11';

/** What probe.py says: versions, null for a package that is not there, and why torch cannot be loaded. */
type Found = {python: string; gpus: number; problem?: string} & Record<
  keyof typeof NEEDED,
  string | null
>;

const WAY_OUT =
  'install them (pip install torch transformers safetensors numpy), or name a Python that has them by --python';

/** A file of Python that comes with the package. */
export function pythonFile(name: string): string {
  const here = createRequire(import.meta.url).resolve('tfjs-owlore/package.json');
  return join(dirname(here), 'python', name);
}

/**
 * Its environment, in which it leaves no compiled files in the package, and imports nothing from the folder that the command runs in:
 * that may be a stranger's. An empty part of PYTHONPATH would be that folder, too.
 */
export function pythonEnvironment(): NodeJS.ProcessEnv {
  const {PYTHONPATH, ...others} = process.env;
  const path = PYTHONPATH?.split(delimiter).filter(Boolean).join(delimiter);
  return {
    ...others,
    ...(path && {PYTHONPATH: path}),
    ...{PYTHONSAFEPATH: '1', PYTHONDONTWRITEBYTECODE: '1'},
  };
}

/** Milliseconds in which a Python says what it has: to load torch from a slow disk takes a minute. */
const PATIENCE = 5 * 60_000;

/**
 * Checks a Python, and counts its GPUs.
 *
 * @throws UsageError if there is none, or if it lacks a package or has one that is too old.
 */
export async function checkPython(python: Program, patience = PATIENCE): Promise<{gpus: number}> {
  const found = await probe(python, patience);
  const fail = (what: string): never => {
    throw new UsageError(`finetune: --engine torch: '${python}' ${what}; ${WAY_OUT}`);
  };
  if (isOlder(found.python, PYTHON)) {
    throw new UsageError(
      `finetune: --engine torch: '${python}' is Python ${found.python}, and ${PYTHON} or newer is needed; name another one by --python`,
    );
  }
  const names = Object.keys(NEEDED) as Array<keyof typeof NEEDED>;
  if (found.problem !== undefined) fail(`cannot load torch (${found.problem})`);
  const missing = names.filter((name) => found[name] === null);
  if (missing.length > 0) fail(`has no ${missing.join(', no ')}`);
  const old = names.filter((name) => isOlder(found[name]!, NEEDED[name]));
  if (old.length > 0) {
    const versions = old.map(
      (name) => `${name} ${found[name]!}, and ${NEEDED[name]} or newer is needed`,
    );
    fail(`has ${versions.join('; ')}`);
  }
  return {gpus: found.gpus};
}

/** What probe.py finds. */
async function probe(python: Program, patience: number): Promise<Found> {
  const args = [pythonFile('probe.py')];
  const {error, stdout, stderr} = await runToEnd(python, args, pythonEnvironment(), patience);
  if (error?.killed) {
    throw new UsageError(
      `finetune: --engine torch: '${python}' has not said in ${counted(patience / 60_000, 'minute')} what it has; ` +
        `try '${python} -c "import torch"', or name another one by --python`,
    );
  }
  if (error?.code === 'ENOENT' || error?.code === 'EACCES') {
    throw new UsageError(
      `finetune: --engine torch needs Python, and there is no program '${python}'; install Python ${PYTHON} or newer with ` +
        'torch, transformers, safetensors and numpy, or name one by --python',
    );
  }
  try {
    if (error) throw error;
    // a program that a user's Python starts with may have said something before
    const last = stdout.trim().split('\n').at(-1)!;
    const found = parseJsonObject(python, new TextEncoder().encode(last));
    if (isFound(found)) return found;
  } catch {
    // told below
  }
  const said = stderr.trim().split('\n').at(-1) ?? '';
  throw new UsageError(
    `finetune: --engine torch: '${python}' does not run as Python does${said && ` (${said})`}; name another one by --python`,
  );
}

function isFound(value: Record<string, unknown>): value is Found {
  const {python, gpus, problem} = value;
  const isVersion = (version: unknown): boolean =>
    typeof version === 'string' && /^\d+\.\d+/.test(version);
  const names = Object.keys(NEEDED);
  return (
    isVersion(python) &&
    Number.isSafeInteger(gpus) &&
    (problem === undefined || typeof problem === 'string') &&
    names.every((name) => value[name] === null || isVersion(value[name]))
  );
}

/** Whether a version such as 2.15.0+cu132 is older than another one such as 2.6. */
function isOlder(version: string, than: string): boolean {
  const [own, other] = [version, than].map((text) => text.split('.').map((part) => parseInt(part)));
  for (const [i, part] of other!.entries()) {
    const difference = (own![i] ?? 0) - part;
    if (difference !== 0) return difference < 0;
  }
  return false;
}
