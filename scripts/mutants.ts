import {spawn} from 'node:child_process';
import {cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

/**
 * Breaks each mechanism of the gradient tape once, in a copy of the sources, and runs the tape's tests on the cpu backend:
 * one of them has to fail. Prints which. Fails if a mutant survives, or if the text that it replaces is not there once, or if no test
 * runs on it.
 */
interface Mutant {
  mechanism: string;
  /** Below src/tape. */
  file: string;
  text: string;
  replacement: string;
  /** Whether only the tests of errors can see it; they take longer. */
  errors?: boolean;
}

const mutants: Mutant[] = [
  {
    mechanism: 'gradients of a tensor are added up',
    file: 'backward.ts',
    text: 'sum ? tf.add(sum, gradient) : gradient',
    replacement: 'gradient',
  },
  {
    mechanism: 'a tensor saved twice is held until the second release',
    file: 'holds.ts',
    text: 'known.count++;',
    replacement: '',
  },
  {
    mechanism: 'what is held shares its data as an owner',
    file: '../tfjs/engine.ts',
    text: 'engine.incRef(shared, null);',
    replacement: '',
  },
  {
    mechanism: 'tensors of another shape over the same data are held apart',
    file: 'holds.ts',
    text: "`${tensor.dtype} ${tensor.shape.join(' ')}`",
    replacement: "''",
  },
  {
    mechanism: 'held tensors are released in the backward pass',
    file: 'backward.ts',
    text: 'node.saved.forEach((tensor) => holds.release(tensor));',
    replacement: '',
  },
  {
    mechanism: 'inputs are pinned',
    file: 'recording.ts',
    text: 'isRead ? this.hold(input) : shapeOnly(input)',
    replacement: 'isRead ? input : shapeOnly(input)',
  },
  {
    mechanism: 'outputs are pinned',
    file: 'recording.ts',
    text: 'savedOutputs.map((output) => this.hold(output))',
    replacement: 'savedOutputs',
  },
  {
    mechanism: 'what a custom gradient saves is pinned',
    file: 'recording.ts',
    text: 'saved = tensors.map((tensor) => this.hold(tensor));',
    replacement: 'saved = tensors;',
  },
  {
    mechanism: 'a gradient that is another tensor is copied',
    file: 'backward.ts',
    text: 'if (taken.has(dx.id)) return tf.clone(dx);',
    replacement: '',
  },
  {
    mechanism: 'a gradient that is a saved tensor is copied',
    file: 'backward.ts',
    text: '[...dys, ...node.saved].map(',
    replacement: 'dys.map(',
  },
  {
    mechanism: 'a gradient of two inputs is copied',
    file: 'backward.ts',
    text: 'taken.add(dx.id);',
    replacement: '',
  },
  {
    mechanism: 'a gradient is final after the first use of the leaf',
    file: 'backward.ts',
    text: 'if (!firstUse.has(id)) firstUse.set(id, i)',
    replacement: 'firstUse.set(id, i)',
  },
  {
    mechanism: 'what checkpoints and closures read counts as a use',
    file: 'backward.ts',
    text: ', ...node.reads]',
    replacement: ']',
  },
  {
    mechanism: 'closures of custom gradients are noticed',
    file: 'recording.ts',
    text: 'if (this.leaves.has(id)) this.reads?.add(id);',
    replacement: '',
  },
  {
    mechanism: 'kernels whose gradient reads values are not saved as shapes',
    file: '../tfjs/gradient_reads.ts',
    text: '  tf.Sum,\n',
    replacement: '  tf.Sum,\n  tf.Maximum,\n',
  },
  {
    mechanism: 'native kernels get the values that they read',
    file: '../tfjs/gradient_reads.ts',
    text: '  tf.Sum,\n',
    replacement: '  tf.Sum,\n  tf.MaxPool,\n',
  },
  {
    mechanism: 'of a product the other factor is saved',
    file: '../tfjs/gradient_reads.ts',
    text: 'tracked.has(factors[0] === name ? factors[1] : factors[0])',
    replacement: 'tracked.has(name)',
  },
  {
    mechanism: 'ops without a leaf upstream are not recorded',
    file: 'recording.ts',
    text: 'tensor != null && this.isTracked(tensor)',
    replacement: 'tensor != null',
  },
  {
    mechanism: 'a checkpoint holds what it reads',
    file: 'recording.ts',
    text: 'held.push(this.holds.hold(tensor));',
    replacement: 'void held;',
  },
  {
    mechanism: 'a checkpoint reads what its function closes over',
    file: 'recording.ts',
    text: 'outside.set(tensor.id, tensor);',
    replacement: '',
  },
  {
    mechanism: 'the second run of a checkpoint sees the same random numbers',
    file: 'segment.ts',
    text: 'withDraws(drawn, () => record(recording, run))',
    replacement: 'record(recording, run)',
  },
  {
    mechanism: 'the first run of a checkpoint draws its random numbers from those of the program',
    file: 'segment.ts',
    text: 'const number = random();',
    replacement: 'const number = (drawn.length + 0.5) % 1;',
  },
  {
    mechanism: 'the second run frees what is not read any more',
    file: 'op_sequence.ts',
    text: 'results.get(name)!.dispose();',
    replacement: '',
  },
  {
    mechanism: 'what leaves a checkpoint otherwise than by an op is not freed',
    file: 'op_sequence.ts',
    text: 'if (!leaving.has(name)) unreadAfter',
    replacement: 'unreadAfter',
  },
  {
    mechanism: 'what a variable takes leaves a checkpoint',
    file: '../tfjs/engine.ts',
    text: 'onUse(tensor.dataId);\n      incRef',
    replacement: 'incRef',
  },
  {
    mechanism: 'nothing is freed after an op that the first run had not',
    file: 'op_sequence.ts',
    text: 'isSame &&= op === ops[number];',
    replacement: '',
  },
  {
    mechanism: 'a second run that reads what it has freed starts again',
    file: 'segment.ts',
    text: 'if (!(error instanceof ReadAgainError)) throw error;',
    replacement: 'throw error;',
  },
  {
    mechanism: 'the second run starts from the values before assignments',
    file: 'segment.ts',
    text: 'variable.assign(before);',
    replacement: 'void [variable, before];',
  },
  {
    mechanism: 'assignments of the second run are taken back',
    file: 'segment.ts',
    text: 'variable.assign(value);',
    replacement: 'void [variable, value];',
  },
  {
    mechanism: 'inputs that were disposed of are revived',
    file: '../tfjs/engine.ts',
    text: 'tensor.isDisposedInternal = false',
    replacement: 'void tensor',
  },
  {
    mechanism: 'revived inputs are disposed of again',
    file: '../tfjs/engine.ts',
    text: 'tensor.isDisposedInternal = true',
    replacement: 'void tensor',
  },
  {
    mechanism: 'a checkpoint does not dispose of what it was given',
    file: 'segment.ts',
    text: 'ys.filter((y) => !outside.includes(y))',
    replacement: 'ys',
  },
  {
    mechanism: 'a tensor that a checkpoint returns twice counts once',
    file: 'segment.ts',
    text: ' && result.findIndex((first) => first.id === id) === i',
    replacement: '',
  },
  {
    mechanism: 'an input that no output depends on gets no gradient',
    file: 'segment.ts',
    text: '??= () => null',
    replacement: '??= () => tf.tensor(0)',
  },
  {
    mechanism: 'the stock tape is muted',
    file: 'recording.ts',
    text: ': insideOfOp(() => run(call))',
    replacement: ': run(call)',
  },
  {
    mechanism: 'an outer recording records the gradients inside of it',
    file: 'recording.ts',
    text: 'this.outer ? run(call) : insideOfOp',
    replacement: 'insideOfOp',
  },
  {
    mechanism: 'an outer recording knows what an inner one holds',
    file: 'recording.ts',
    text: 'outer.originals.set(held.id, outer.idOf(tensor));',
    replacement: '',
  },
  {
    mechanism: 'an inner recording holds each tensor by itself',
    file: 'recording.ts',
    text: 'oneForAll: this.outer === null',
    replacement: 'oneForAll: true',
  },
  {
    mechanism: 'no checkpoint inside of a gradient inside of a gradient',
    file: 'recording.ts',
    text: 'this.outer === null && opDepth()',
    replacement: 'opDepth()',
  },
  {
    mechanism: 'a layer runs again with the arguments that it had',
    file: 'recompute_layers.ts',
    text: '{...ownKwargs}) as',
    replacement: 'kwargs) as',
  },
  {
    mechanism: 'a layer runs again with the inputs that it had',
    file: 'recompute_layers.ts',
    text: 'Array.isArray(inputs) ? [...inputs] : inputs',
    replacement: 'inputs',
  },
  {
    mechanism: 'a stateful layer is no checkpoint',
    file: 'recompute_layers.ts',
    text: '!layer.stateful && ',
    replacement: '',
  },
  {
    mechanism: 'a model that holds blocks is no checkpoint',
    file: 'recompute_layers.ts',
    text: ' && !(isModel(layer) && holdsBlocks(layer))',
    replacement: '',
  },
  {
    mechanism: 'layers inside of a block run again apart, if asked to',
    file: 'recompute_layers.ts',
    text: "which === 'auto' ? withSegments",
    replacement: 'false ? withSegments',
  },
  {
    mechanism: 'layers inside of a block do not run again apart, if not asked to',
    file: 'recompute_layers.ts',
    text: "which === 'auto' ? withSegments",
    replacement: 'true ? withSegments',
  },
  {
    mechanism: 'layers inside of a block run again apart only if that is worth it',
    file: 'recompute_layers.ts',
    text: "(kind === 'parts' && !isWorth(tensors, layer.weights))",
    replacement: 'false',
  },
  {
    mechanism: 'a part of a layer runs again apart',
    file: 'recompute_layers.ts',
    text: '(isPartRecomputed(inputs, weights) ? recomputed(f) : f)',
    replacement: 'f',
  },
  {
    mechanism: 'a part of a layer runs again apart only if asked to',
    file: 'recompute_layers.ts',
    text: "running === 'parts' && ",
    replacement: '',
  },
  {
    mechanism: 'a part of a layer runs again apart only if that is worth it',
    file: 'recompute_layers.ts',
    text: "running === 'parts' && isWorth(inputs, weights)",
    replacement: "running === 'parts'",
  },
  {
    mechanism: 'an unknown engine is left alone',
    file: 'tfjs_gradients.ts',
    text: 'return isKnownEngine() && ',
    replacement: 'return ',
  },
  {
    mechanism: 'an error in the forward pass frees what is held',
    file: 'recording.ts',
    text: 'this.holds.dispose();\n      throw error;',
    replacement: 'throw error;',
    errors: true,
  },
  {
    mechanism: 'an error in the backward pass frees what is held',
    file: 'gradients.ts',
    text: '      recording.holds.dispose();',
    replacement: '      void recording;',
    errors: true,
  },
  {
    mechanism: 'an error in a checkpoint frees what its second run holds',
    file: 'segment.ts',
    text: '    recording.holds.dispose();',
    replacement: '    void recording;',
    errors: true,
  },
  {
    mechanism: 'an error frees gradients that were taken before',
    file: 'gradients.ts',
    text: 'tf.dispose(kept);',
    replacement: '',
    errors: true,
  },
];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const temporary = mkdtempSync(join(tmpdir(), 'mutants-'));
try {
  process.exitCode = await runAll();
} finally {
  rmSync(temporary, {recursive: true});
}

/** Runs the tests on the sources as they are, which must pass, and on all mutants; returns the exit code. */
async function runAll(): Promise<number> {
  const intact = copySources('intact');
  for (const errors of [false, true]) {
    const failure = await firstFailure(intact, errors);
    if (failure !== null) throw new Error(`Without a mutation there fails: ${failure}`);
  }
  const sources = mutants.map((mutant, i) => mutate(copySources(String(i)), mutant));
  const killers: Array<string | null> = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < mutants.length) {
      const i = next++;
      killers[i] = await firstFailure(sources[i]!, mutants[i]!.errors ?? false);
    }
  };
  await Promise.all(Array.from({length: Math.min(2, availableParallelism())}, work));

  const width = Math.max(...mutants.map(({mechanism}) => mechanism.length));
  mutants.forEach(({mechanism}, i) => {
    console.log(`${mechanism.padEnd(width)}  ${killers[i] ?? 'SURVIVES'}`);
  });
  const survivors = killers.filter((killer) => killer === null).length;
  console.log(`\n${mutants.length} mutants, ${survivors} survive`);
  return survivors > 0 ? 1 : 0;
}

/** Makes a copy of what the tape's tests need; returns its folder. */
function copySources(name: string): string {
  const folder = join(temporary, name);
  const needed = ['package.json', 'tsconfig.json', 'src', 'scripts', 'test/support', 'test/tape'];
  for (const path of needed) cpSync(join(root, path), join(folder, path), {recursive: true});
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const config = JSON.parse(readFileSync(join(root, '.mocharc.json'), 'utf8')) as object;
  const ownConfig = {...config, spec: ['test/tape/*_test.ts'], reporter: 'json', bail: true};
  writeFileSync(join(folder, '.mocharc.json'), JSON.stringify(ownConfig));
  return folder;
}

function mutate(folder: string, {mechanism, file, text, replacement}: Mutant): string {
  const path = join(folder, 'src/tape', file);
  const parts = readFileSync(path, 'utf8').split(text);
  if (parts.length !== 2) {
    throw new Error(`'${mechanism}': ${file} has ${parts.length - 1} times, not once: ${text}`);
  }
  writeFileSync(path, parts.join(replacement));
  return folder;
}

/** The title of the test that fails first; null if all pass. */
function firstFailure(folder: string, errors: boolean): Promise<string | null> {
  const mocha = join(root, 'node_modules/mocha/bin/mocha.js');
  const grep = ['--grep', 'an error', ...(errors ? [] : ['--invert'])];
  const child = spawn(process.execPath, [mocha, ...grep], {
    cwd: folder,
    env: {...process.env, OWLORE_BACKENDS: 'cpu'},
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  let output = '';
  const collect = (text: string): void => void (output += text);
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      const title = code === 0 ? null : failedTest(output);
      if (title === undefined) reject(new Error(`No test has run in ${folder}:\n${output}`));
      else resolve(title);
    });
  });
}

/** The first failure in what mocha's json reporter has printed. */
function failedTest(output: string): string | undefined {
  const start = output.indexOf('{\n');
  if (start < 0) return undefined;
  const {failures} = JSON.parse(output.slice(start)) as {failures: Array<{fullTitle: string}>};
  return failures[0]?.fullTitle;
}
