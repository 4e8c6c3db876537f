/**
 * Checks `tfjs-owlore finetune --engine torch` against this library's own training: the same runs by both engines, with exact bases,
 * and compares the losses of every step and the models that come of it. No test needs Python; this does.
 *
 *     python -m venv .venv && .venv/bin/pip install torch transformers safetensors numpy
 *     npx tsx scripts/check_torch.ts --python .venv/bin/python [-g PATTERN] [--model FOLDER --data FILE --steps N]
 *
 * Without `--model` the models are small and random. With it, that model trains for some steps beside this library, in one process.
 * `-g` picks checks by their names. Ends with 1 if one fails, and if there is none of that name.
 */
import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {exitCodes, runProgram} from '../src/cli/program';
import {parseSafetensors} from '../src/files/safetensors';
import {createModelFolder, texts} from '../test/cli/model_folder';
import {TextSink} from '../test/cli/run_cli';
import {loadBackend} from '../tools/load_backend';

const {values: options} = parseArgs({
  options: {
    python: {type: 'string', default: 'python3'},
    grep: {type: 'string', short: 'g', default: ''},
    model: {type: 'string'},
    data: {type: 'string'},
    steps: {type: 'string', default: '3'},
  },
});

if ((options.model === undefined) !== (options.data === undefined)) {
  process.stderr.write('check_torch: --model and --data go together; give both, or neither\n');
  process.exit(1);
}

/** Of a loss, which is about 5: both sum up in another order, and a training adds to that from step to step. */
const LOSS_TOLERANCE = 2e-5;
/** Of a weight, most of which are about 0.3, after a run. */
const WEIGHT_TOLERANCE = 2e-3;

const work = mkdtempSync(join(tmpdir(), 'owlore-torch-'));
let count = 0;
const newOutput = (): string => join(work, `run${count++}`);

/** Runs `finetune` in this process. */
async function run(args: readonly string[]): Promise<{code: number; stderr: string}> {
  const [stdout, stderr] = [new TextSink(), new TextSink()];
  const stdin = Object.assign(Readable.from([]), {isTTY: true});
  const code = await runProgram(['finetune', ...args], {stdin, stdout, stderr, loadBackend});
  return {code, stderr: stderr.text};
}

/** Throws unless the other engine has trained, or this library has: two runs of one engine have nothing to compare. */
function checkEngine(args: readonly string[], stderr: string, isTorch: boolean): void {
  if (stderr.includes('training in PyTorch') === isTorch) return;
  throw new Error(`finetune ${args.join(' ')}: ${isTorch ? 'not ' : ''}in PyTorch:\n${stderr}`);
}

/**
 * What it said on stderr.
 *
 * @param isTorch Whether it trains in PyTorch; default: as the arguments say.
 */
async function runToEnd(
  args: readonly string[],
  isTorch = args.includes('torch'),
): Promise<string> {
  const {code, stderr} = await run(args);
  if (code !== 0) throw new Error(`finetune ${args.join(' ')} ended with ${code}:\n${stderr}`);
  checkEngine(args, stderr, isTorch);
  return stderr;
}

/** `finetune` in a process of its own, with a group of its own. */
function start(args: readonly string[], stderr: 'ignore' | 'pipe' = 'ignore'): ChildProcess {
  const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
  const command = ['--import', 'tsx', main, 'finetune', ...args];
  return spawn(process.execPath, command, {detached: true, stdio: ['ignore', 'ignore', stderr]});
}

/** Has such a process end at a Ctrl-C, when its log has a step, or by itself. */
async function runApart(
  args: readonly string[],
  stopAt?: {output: string; step: number},
): Promise<void> {
  const child = start(args, 'pipe');
  let stderr = '';
  child.stderr!.on('data', (text: Buffer) => (stderr += text.toString()));
  const timer = setInterval(() => {
    const log = stopAt && join(stopAt.output, 'log.jsonl');
    if (!log || !existsSync(log) || !readFileSync(log, 'utf8').includes(`"step":${stopAt.step},`))
      return;
    clearInterval(timer);
    process.kill(-child.pid!, 'SIGINT');
  }, 2);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearInterval(timer);
  const wanted = stopAt ? exitCodes.SIGINT : exitCodes.done;
  if (code !== wanted) throw new Error(`finetune ${args.join(' ')} ended with ${code}:\n${stderr}`);
  checkEngine(args, stderr, args.includes('torch'));
}

interface Left {
  steps: Array<{step: number; loss: number; learningRate: number; blocks: string[]}>;
  heldOut: Array<{step: number; loss: number}>;
  blockHistory: string | null;
  weights: Map<string, Float32Array>;
}

/** What a run has left. */
function leftBy(output: string): Left {
  const lines = readFileSync(join(output, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  const entries = lines.map((line) => JSON.parse(line) as {event: string; state?: string});
  if (entries.at(-1)!.state !== 'done') throw new Error(`${output} is not done`);
  const blockHistory = join(output, 'block-history.json');
  const {tensors} = parseSafetensors(readFileSync(join(output, 'model', 'model.safetensors')));
  for (const temporary of ['torch', 'checkpoints'])
    if (existsSync(join(output, temporary))) throw new Error(`${output} still has ${temporary}`);
  return {
    steps: entries.filter(({event}) => event === 'step') as unknown as Left['steps'],
    heldOut: entries.filter(({event}) => event === 'heldOut') as unknown as Left['heldOut'],
    blockHistory: existsSync(blockHistory) ? readFileSync(blockHistory, 'utf8') : null,
    weights: new Map([...tensors].map(([name, {values}]) => [name, values])),
  };
}

/** Throws unless two runs are the same but for rounding; says how far they differ. */
function compare(ours: Left, theirs: Left): string {
  const listOf = ({steps}: Left): string =>
    steps.map(({step, blocks}) => `${step}: ${blocks.join(' ')}`).join('\n');
  if (listOf(ours) !== listOf(theirs)) throw new Error('other blocks trained, or other steps');
  if (ours.blockHistory !== theirs.blockHistory) throw new Error('the block histories differ');
  const worst = (a: readonly {step: number; loss: number}[], b: typeof a, what: string): number => {
    if (a.length !== b.length) throw new Error(`${a.length} and ${b.length} ${what}`);
    return Math.max(
      ...a.map(({step, loss}, i) => {
        if (step !== b[i]!.step) throw new Error(`${what} of other steps`);
        const difference = Math.abs(loss - b[i]!.loss);
        if (!(difference <= LOSS_TOLERANCE * Math.max(1, Math.abs(loss))))
          throw new Error(`${what}: step ${step}: ${loss} and ${b[i]!.loss}`);
        return difference;
      }),
    );
  };
  const loss = worst(ours.steps, theirs.steps, 'losses');
  const heldOut = worst(ours.heldOut, theirs.heldOut, 'held-out losses');
  ours.steps.forEach(({learningRate}, i) => {
    const other = theirs.steps[i]!.learningRate;
    if (Math.abs(learningRate - other) > 1e-12)
      throw new Error(`learning rates of step ${i + 1}: ${learningRate} and ${other}`);
  });
  let weight = 0;
  for (const [name, values] of ours.weights) {
    const other = theirs.weights.get(name);
    if (other?.length !== values.length) throw new Error(`weight ${name} differs in size`);
    values.forEach((x, i) => (weight = Math.max(weight, Math.abs(x - other[i]!))));
  }
  if (!(weight <= WEIGHT_TOLERANCE)) throw new Error(`weights differ by ${weight}`);
  const [first, last] = [ours.steps[0]!.loss, ours.steps.at(-1)!.loss];
  return (
    `loss ${first.toFixed(4)} → ${last.toFixed(4)} in ${ours.steps.length} steps, differs by ${loss.toExponential(1)} at most; ` +
    `held-out by ${heldOut.toExponential(1)}, weights by ${weight.toExponential(1)}`
  );
}

const torch = (processes: number, ...more: string[]): string[] => [
  ...['--engine', 'torch', '--python', options.python, '--processes', String(processes)],
  ...more,
];

/**
 * Runs `body` with processes of Python each of which hashes texts in another way, as without PYTHONHASHSEED, but in the same way each
 * time: a set of texts has another order in each.
 */
async function withHashSeeds<T>(first: number, body: () => Promise<T>): Promise<T> {
  const program = join(work, `python-${first}`);
  const own = `PYTHONHASHSEED=$((${first} + RANK)) exec '${options.python}' "$@"`;
  writeFileSync(program, `#!/bin/sh\n${own}\n`, {mode: 0o755});
  // what torchrun starts in the place of its own Python
  process.env['PYTHON_EXEC'] = program;
  try {
    return await body();
  } finally {
    delete process.env['PYTHON_EXEC'];
  }
}

let ran = 0;
let failed = 0;
async function check(name: string, body: () => Promise<string>): Promise<void> {
  if (!new RegExp(options.grep).test(name)) return;
  ran++;
  const start = performance.now();
  try {
    const said = await body();
    console.log(`ok   ${name}: ${said} (${((performance.now() - start) / 1000).toFixed(0)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${(error as Error).message}`);
  }
}

type ArgsOf = (output: string, more: readonly string[]) => string[];

/** A run in a process of its own, whose group gets what a terminal sends: it stops with a checkpoint, and then at once. */
async function interruptedTwice(argsOf: ArgsOf): Promise<string> {
  const output = newOutput();
  const log = join(output, 'log.jsonl');
  const long = argsOf(output, [...torch(2), '--method', 'full', '--steps', '2000']);
  const interrupt = async (args: readonly string[], signals: number): Promise<number | null> => {
    const child = start(args);
    const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
    const before = existsSync(log) ? readFileSync(log, 'utf8').length : 0;
    while (!existsSync(log) || readFileSync(log, 'utf8').length < before + 300) {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
      await sleep(20);
    }
    for (let i = 0; i < signals; i++) {
      process.kill(-child.pid!, 'SIGINT');
      if (i < signals - 1) await sleep(300);
    }
    return closed;
  };
  const codes = [await interrupt(long, 1)];
  if (readdirSync(join(output, 'checkpoints')).length < 2) throw new Error('no checkpoint');
  codes.push(await interrupt(['--resume', output, '--python', options.python], 2));
  const isLeft = (): boolean =>
    execFileSync('ps', ['-eo', 'args'], {encoding: 'utf8'}).includes(join(output, 'torch'));
  for (let i = 0; isLeft(); i++) {
    if (i === 30) throw new Error('processes of Python are left');
    await sleep(1000);
  }
  if (codes.some((code) => code !== exitCodes.SIGINT))
    throw new Error(`exit codes ${codes.join(', ')}`);
  return 'a checkpoint after the first, no process left after the second';
}

/** Runs `finetune` in this process to its end, and does something as soon as a path is there, or a file with a text. */
async function withStep(args: readonly string[], path: string, body: () => void, text = '') {
  const timer = setInterval(() => {
    if (!existsSync(path) || (text && !readFileSync(path, 'utf8').includes(text))) return;
    clearInterval(timer);
    body();
  }, 1);
  try {
    return await run(args);
  } finally {
    clearInterval(timer);
  }
}

/** A run that is told to stop before its first step. */
async function stoppedAtOnce(argsOf: ArgsOf): Promise<string> {
  const [output, whole] = [newOutput(), newOutput()];
  const args = [...torch(1), '--method', 'full', '--steps', '3'];
  const job = join(output, 'torch');
  const log = join(output, 'log.jsonl');
  await withStep(argsOf(output, args), job, () => writeFileSync(join(job, 'stop'), ''));
  if (/"event":"(step|heldOut)"/.test(readFileSync(log, 'utf8'))) throw new Error('it made a step');
  await runToEnd(['--resume', output, '--python', options.python], true);
  await runToEnd(argsOf(whole, args));
  return compare(leftBy(whole), leftBy(output));
}

/** What is left to do after the last step. */
async function checkEnd(argsOf: ArgsOf): Promise<void> {
  const one = [...torch(1), '--method', 'full', '--steps', '1'];
  await check('told to stop in its last step, it comes to its end', async () => {
    const output = newOutput();
    const job = join(output, 'torch');
    // soon after the first held-out loss, in a step of some seconds
    const stop = (): void => void setTimeout(() => writeFileSync(join(job, 'stop'), ''), 200);
    const log = join(output, 'log.jsonl');
    const args = argsOf(output, [...one, '--accumulate', '200']);
    const {code, stderr} = await withStep(args, log, stop, 'heldOut');
    if (code !== exitCodes.done) throw new Error(stderr);
    checkEngine(args, stderr, true);
    return `${leftBy(output).steps.length} step`;
  });
  await check('a report that could not be written, 2 processes of fsdp, torch, tfjs', async () => {
    const [output, whole] = [newOutput(), newOutput()];
    const report = join(output, 'report.html');
    const fsdp = [...one, ...torch(2, '--parallel', 'fsdp')];
    const log = join(output, 'log.jsonl');
    const first = await withStep(argsOf(output, fsdp), log, () => mkdirSync(report));
    rmSync(report, {recursive: true});
    const job = join(output, 'torch', 'job.json');
    const second = await withStep(['--resume', output, ...torch(1)], job, () => mkdirSync(report));
    for (const {code, stderr} of [first, second])
      if (code !== exitCodes.failed || !stderr.includes('to save its model'))
        throw new Error(stderr);
    checkEngine(fsdp, first.stderr, true);
    rmSync(report, {recursive: true});
    const said = await runToEnd(['--resume', output, '--engine', 'tfjs']);
    if (!said.includes('goes on from step 1')) throw new Error(said);
    await runToEnd(argsOf(whole, one));
    return compare(leftBy(whole), leftBy(output));
  });
}

/** A real model for some steps by both engines. */
async function checkModel(model: string, data: string): Promise<void> {
  const {steps} = options;
  const argsOf = (output: string, more: readonly string[]): string[] => [
    ...['--model', model, '--data', data, '--output', output, '--steps', steps],
    ...['--max-length', '64', '--batch-size', '2', '--learning-rate', '1e-4'],
    ...['--schedule', 'constant', '--scores', 'uniform', '--gamma', '2', '--interval', steps],
    ...['--rank', '32', '--basis', 'svd', '--validation-split', '0.01'],
    ...['--evaluate-every', steps, ...more],
  ];
  await check(`${model}, 1 process`, async () => {
    const [ours, theirs] = [newOutput(), newOutput()];
    await runToEnd(argsOf(theirs, torch(1)));
    await runToEnd(argsOf(ours, []));
    return compare(leftBy(ours), leftBy(theirs));
  });
}

/** The option `--interval`, for methods that draw blocks. */
function intervalOf(args: readonly string[]): string[] {
  const drawsNone = args.includes('full') || args.includes('galore');
  return drawsNone ? [] : ['--interval', '3'];
}

async function checkSmallModels(): Promise<void> {
  const folder = await createModelFolder({tieWordEmbeddings: false});
  const tied = await createModelFolder({
    numKeyValueHeads: 1,
    tieWordEmbeddings: true,
    seed: 5,
  });
  // with so many blocks any other order differs in what it gathers first
  const deep = await createModelFolder({tieWordEmbeddings: false, numHiddenLayers: 8});
  const data = folder.writeLines('texts.jsonl', texts(30));
  const gemma = await createModelFolder({
    ...{architecture: 'gemma3', headDim: 6, numKeyValueHeads: 1, tieWordEmbeddings: true},
    ...{slidingWindow: 5, ropeTheta: 1e6, ropeLocalBaseFreq: 1e4, queryPreAttnScalar: 8},
    layerTypes: ['sliding_attention', 'sliding_attention', 'full_attention'],
  });
  const argsOf = (output: string, more: readonly string[], model = folder.model): string[] => [
    ...['--model', model, '--data', data, '--output', output, '--backend', 'cpu'],
    ...['--max-length', '12', '--batch-size', '5', '--learning-rate', '0.01', '--steps', '12'],
    ...['--evaluate-every', '4', ...intervalOf(more), ...more],
  ];
  const svd = ['--rank', '4', '--refresh-interval', '4', '--basis', 'svd'];
  /** What this library's own training has left, once for all checks of the same options. */
  const known = new Map<string, Left>();
  const oursOf = async (args: readonly string[], model?: string): Promise<Left> => {
    const key = JSON.stringify([args, model]);
    if (!known.has(key)) {
      const output = newOutput();
      await runToEnd(argsOf(output, args, model));
      known.set(key, leftBy(output));
    }
    return known.get(key)!;
  };
  const both = async (
    args: readonly string[],
    engine: readonly string[],
    model?: string,
  ): Promise<string> => {
    const output = newOutput();
    const said = await runToEnd(argsOf(output, [...args, ...engine], model));
    for (const kind of ['ddp', 'fsdp'])
      if (engine.includes(kind) && !said.includes(`${kind} by`))
        throw new Error(`no ${kind}: ${said}`);
    return compare(await oursOf(args, model), leftBy(output));
  };
  /** Runs that stop after some steps and go on in other engines. */
  const stopped = async (
    args: readonly string[],
    way: ReadonlyArray<[step: number, engine: readonly string[]]>,
    last: readonly string[],
  ): Promise<string> => {
    const output = newOutput();
    for (const [i, [step, engine]] of way.entries()) {
      const how = i === 0 ? argsOf(output, [...args, ...engine]) : ['--resume', output, ...engine];
      await runApart(how, {output, step});
    }
    await runApart(['--resume', output, ...last]);
    return compare(await oursOf(args), leftBy(output));
  };
  try {
    const cases: Array<[name: string, args: string[], model?: string]> = [
      ['owlore', [...svd, '--gamma', '2']],
      ['owlore, tied head', [...svd, '--gamma', '2', '--weight-decay', '0.1'], tied.model],
      ['owlore, low-rank embedding', [...svd, '--gamma', '1', '--embedding', 'low-rank']],
      [
        'owlore, accumulated and clipped',
        [...svd, '--gamma', '2', '--accumulate', '3', '--clip-norm', '1'],
      ],
      [
        'lisa',
        [
          '--method',
          'lisa',
          '--gradient-checkpointing',
          'none',
          '--warmup',
          '3',
          '--schedule',
          'cosine',
        ],
      ],
      ['lisa-d', ['--method', 'lisa-d', '--gamma', '1', '--embedding', 'frozen']],
      ['badam', ['--method', 'badam']],
      ['lisa, rates of groups', ['--method', 'lisa', '--embedding-rate', '0.5']],
      ['galore', [...svd, '--method', 'galore']],
      ['owlore, gemma3', [...svd, '--gamma', '1', '--scores', 'uniform'], gemma.model],
      ['full, packed', ['--method', 'full', '--packing']],
    ];
    for (const [name, args, model] of cases) {
      await check(`${name}, 1 process`, () => both(args, torch(1), model));
    }
    for (const parallel of ['ddp', 'fsdp']) {
      for (const [name, args, model] of cases) {
        if (!/^(owlore|galore|badam|lisa$)/.test(name)) continue;
        await check(`${name}, 2 processes, ${parallel}`, () =>
          both(args, torch(2, '--parallel', parallel), model),
        );
      }
    }
    for (const [embedding, args] of [
      ['full', ['--method', 'lisa-d', '--gamma', '1']],
      ['low-rank', [...svd, '--gamma', '1', '--embedding', 'low-rank']],
      ['frozen', ['--method', 'lisa-d', '--gamma', '1', '--embedding', 'frozen']],
    ] as const) {
      for (const processes of [2, 3]) {
        for (const [parallel, ...seeds] of [
          ['ddp', 10],
          ['fsdp', 10, 20],
        ] as const) {
          for (const seed of seeds) {
            await check(
              `embedding ${embedding}, ${processes} processes, ${parallel}, hashes from ${seed}`,
              () =>
                withHashSeeds(seed, () =>
                  both(args, torch(processes, '--parallel', parallel), deep.model),
                ),
            );
          }
        }
      }
    }
    await check('Ctrl-C in a terminal, twice', () => interruptedTwice(argsOf));
    await check('told to stop before its first step, it has a held-out loss of step 0', () =>
      stoppedAtOnce(argsOf),
    );
    await checkEnd(argsOf);
    const owlore = [...svd, '--gamma', '2'];
    const fsdp = torch(2, '--parallel', 'fsdp');
    const tfjs = ['--engine', 'tfjs'];
    await check('there and back: tfjs, torch, tfjs', () =>
      stopped(
        owlore,
        [
          [3, []],
          [7, torch(1)],
        ],
        tfjs,
      ),
    );
    await check('there and back: torch, tfjs, 2 processes of fsdp', () =>
      stopped(
        owlore,
        [
          [2, torch(1)],
          [5, tfjs],
        ],
        fsdp,
      ),
    );
    await check('there and back: from the middle of an accumulated step', () =>
      stopped([...owlore, '--accumulate', '3'], [[3, []]], fsdp),
    );
    await check('there and back: terms of an embedding', () =>
      stopped(
        [...owlore, '--accumulate', '3', '--embedding', 'low-rank'],
        [
          [3, []],
          [6, fsdp],
        ],
        tfjs,
      ),
    );
  } finally {
    folder.remove();
    tied.remove();
    deep.remove();
    gemma.remove();
  }
}

await loadBackend('cpu');
try {
  const {model, data} = options;
  if (model !== undefined && data !== undefined) await checkModel(model, data);
  else await checkSmallModels();
} finally {
  rmSync(work, {recursive: true});
}
if (ran === 0) process.stderr.write(`check_torch: no check has a name like '${options.grep}'\n`);
process.exit(failed > 0 || ran === 0 ? 1 : 0);
