/** The Python that trains: whether it is there, and has what it takes. */
import {createRequire} from 'node:module';
import {delimiter, dirname, join} from 'node:path';
import {parseJsonObject} from '../../files/json';
import {runToEnd, type Program} from '../start_program';
import {UsageError} from '../usage_error';

/** The packages that it takes, each from a version on. */
const NEEDED = {torch: '2.6', transformers: '4.56', safetensors: '0.4', numpy: '1.24'} as const;
const PYTHON = '3.11';

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

/**
 * Checks a Python, and counts its GPUs.
 *
 * @throws UsageError if there is none, or if it lacks a package or has one that is too old.
 */
export async function checkPython(python: Program): Promise<{gpus: number}> {
  const found = await probe(python);
  const fail = (what: string): never => {
    throw new UsageError(`finetune: --engine torch: '${python}' ${what}; ${WAY_OUT}`);
  };
  if (isOlder(String(found['python']), PYTHON)) {
    throw new UsageError(
      `finetune: --engine torch: '${python}' is Python ${String(found['python'])}, and ${PYTHON} or newer is needed; name another one by --python`,
    );
  }
  const names = Object.keys(NEEDED) as Array<keyof typeof NEEDED>;
  if (typeof found['problem'] === 'string') fail(`cannot load torch (${found['problem']})`);
  const missing = names.filter((name) => typeof found[name] !== 'string');
  if (missing.length > 0) fail(`has no ${missing.join(', no ')}`);
  const old = names.filter((name) => isOlder(String(found[name]), NEEDED[name]));
  if (old.length > 0) {
    const versions = old.map(
      (name) => `${name} ${String(found[name])}, and ${NEEDED[name]} or newer is needed`,
    );
    fail(`has ${versions.join('; ')}`);
  }
  return {gpus: Number(found['gpus'])};
}

/** What probe.py finds. */
async function probe(python: Program): Promise<Record<string, unknown>> {
  const args = [pythonFile('probe.py')];
  const {error, stdout, stderr} = await runToEnd(python, args, pythonEnvironment());
  if (error?.code === 'ENOENT' || error?.code === 'EACCES') {
    throw new UsageError(
      `finetune: --engine torch needs Python, and there is no program '${python}'; install Python ${PYTHON} or newer with ` +
        'torch, transformers, safetensors and numpy, or name one by --python',
    );
  }
  try {
    if (error) throw error;
    return parseJsonObject(python, new TextEncoder().encode(stdout));
  } catch {
    // told below
  }
  const said = stderr.trim().split('\n').at(-1) ?? '';
  throw new UsageError(
    `finetune: --engine torch: '${python}' does not run as Python does${said && ` (${said})`}; name another one by --python`,
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
