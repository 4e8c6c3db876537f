import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import fc from 'fast-check';
import {sha256} from '../../src/files/sha256';
import {
  cosineDecay,
  LayerSamplingCallback,
  OwLoreOptimizer,
  resumeCheckpoint,
  saveCheckpoint,
  type CheckpointParts,
} from '../../src/index';
import {
  createLlama,
  sparseCrossEntropy,
  textDataset,
  type TextDataset,
  type Tokenizer,
} from '../../src/llama';
import {itAtLength, thorough} from '../support/backends';
import {bytesOf, damagedBytes, damagedJson, damagedSafetensors} from './damage';
import {always} from './reads_or_refuses';

type Files = Map<string, Uint8Array>;

/** Letters as tokens. */
const letters = {
  encode: (text: string) => Array.from(text, (char) => char.charCodeAt(0) % 32),
  decode: (ids: readonly number[]) => ids.join(' '),
  eosTokenId: 31,
  padTokenId: 0,
} as unknown as Tokenizer;

const lines = bytesOf(
  Array.from({length: 9}, (_, i) => JSON.stringify({text: 'abcdefghij'.slice(i % 5)})).join('\n'),
);

const config = {
  ...{vocabSize: 32, hiddenSize: 8, intermediateSize: 12, numHiddenLayers: 2},
  ...{numAttentionHeads: 2, maxPositionEmbeddings: 16, tieWordEmbeddings: true, seed: 1},
};

/** A small training of everything that a checkpoint can have. */
class Training {
  readonly model = createLlama(config, {kernels: 'none'});
  readonly optimizer = new OwLoreOptimizer({
    ...{learningRate: cosineDecay(0.05, 20), rank: 2, refreshInterval: 2, accumulate: 2},
    ...{nonFinite: 'halve', state: 'keep', kernels: 'none'},
  });
  readonly callback = new LayerSamplingCallback({gamma: 1, interval: 2});
  readonly data: TextDataset = textDataset(lines, letters, {
    ...{maxLength: 4, batchSize: 1, packing: true, format: 'text', shuffleBuffer: 3, config},
  });

  get parts(): CheckpointParts {
    const {model, optimizer, callback, data} = this;
    return {model, optimizer, callback, data};
  }

  async train(batches: number): Promise<void> {
    const {model, optimizer, callback, data} = this;
    callback.attach(model, optimizer);
    const iterator = await data.iterator();
    try {
      for (let i = 0; i < batches; i++) {
        const {value} = await iterator.next();
        callback.step();
        const {xs, ys} = value!;
        try {
          const loss = (): tf.Scalar => sparseCrossEntropy(ys, model.apply(xs) as tf.Tensor);
          optimizer.minimize(loss, false, variablesOf(model));
        } finally {
          tf.dispose([xs, ys]);
        }
      }
    } finally {
      callback.restore();
    }
  }

  /** All that the next step depends on. */
  async snapshot(): Promise<unknown> {
    const {model, optimizer, callback, data} = this;
    const named = variablesOf(model).map((tensor) => ({
      name: tensor.name,
      tensor,
    }));
    const tensors: Array<[string, unknown]> = [];
    for (const {name, tensor} of [...named, ...(await optimizer.getWeights())]) {
      tensors.push([name, Array.from(await tensor.data())]);
    }
    const {learningRate, settings} = optimizer;
    return {tensors, learningRate, settings, callback: callback.getState(), data: data.state()};
  }

  dispose(): void {
    this.optimizer.dispose();
    this.model.dispose();
  }
}

function variablesOf(model: tfl.LayersModel): tf.Variable[] {
  return model.weights.map((weight) => weight.read() as tf.Variable);
}

/** Files of a checkpoint, and those of one before it. */
async function validFiles(): Promise<Files> {
  const files = new Map<string, Uint8Array>();
  const training = new Training();
  for (const [batches, extra] of [
    [4, {a: [1, null]}],
    [5, 'x'],
  ] as const) {
    await training.train(batches);
    await saveCheckpoint(files, training.parts, {extra, epoch: 1, metric: batches});
  }
  training.dispose();
  return files;
}

async function hashOf(bytes: Uint8Array): Promise<string> {
  return (await sha256('test', bytes)).slice(0, 32);
}

const newestOf = (files: Files): string =>
  [...files.keys()]
    .filter((path) => path.endsWith('.json'))
    .sort()
    .at(-1)!;

/** With other contents of the newest checkpoint's JSON file, under the name that they ask for. */
async function withManifest(files: Files, json: Uint8Array): Promise<Files> {
  const changed = new Map(files);
  changed.delete(newestOf(files));
  return changed.set(`checkpoint-000003-${await hashOf(json)}.json`, json);
}

/** With other contents of a file of tensors, under the name that they ask for. */
async function withTensors(files: Files, path: string, bytes: Uint8Array): Promise<Files> {
  const name = `${await hashOf(bytes)}.safetensors`;
  const json = Buffer.from(files.get(newestOf(files))!)
    .toString()
    .replaceAll(path, name);
  return withManifest(new Map(files).set(name, bytes), bytesOf(json));
}

/**
 * Lets a training that stands at the end of `valid` go on from other files. If they are refused, nothing must have changed; if not,
 * `afterwards` is called. It ends where it began.
 */
async function resume(
  training: Training,
  valid: Files,
  files: Files,
  which: 'newest' | 'best',
  afterwards?: () => Promise<void>,
): Promise<void> {
  const {parts} = training;
  const before = await training.snapshot();
  const {warn} = console;
  console.warn = () => undefined;
  try {
    try {
      await resumeCheckpoint(files, parts, {which});
    } catch (error) {
      expect(await training.snapshot()).to.deep.equal(before);
      throw error;
    }
    await afterwards?.();
    try {
      await resumeCheckpoint(valid, parts);
    } catch (error) {
      // under a name that is no refusal
      throw new Error(`the way back: ${(error as Error).message}`, {cause: error});
    }
    expect(await training.snapshot()).to.deep.equal(before);
  } finally {
    console.warn = warn;
  }
}

/** Makes the step that is open, and saves the training beside the files that it has gone on from. */
async function trainAndSave(training: Training, files: Files): Promise<void> {
  try {
    await training.train(1);
    await saveCheckpoint(files, training.parts, {keep: 1});
  } catch (error) {
    expect((error as Error).message).to.match(refused);
  }
}

const refused =
  /^(resumeCheckpoint|saveCheckpoint|OwLoreOptimizer|LayerSamplingCallback|textDataset): /;

/** Cases of each kind, unless the fuzzer says how many. */
const RUNS = thorough ? 150 : 50;

describe('hostile files: checkpoints of trainings', function () {
  this.timeout(process.env.OWLORE_FUZZ_RUNS === undefined ? 120_000 : 0);
  let files: Files;
  let training: Training;
  before(async () => {
    files = await validFiles();
    training = new Training();
    await resumeCheckpoint(files, training.parts);
    await training.snapshot();
  });
  after(() => training.dispose());

  it('are read if nothing is wrong with them', () => resume(training, files, files, 'newest'));

  it('whose checksums are right', async () => {
    const manifest = files.get(newestOf(files))!;
    const json = JSON.parse(Buffer.from(manifest).toString()) as {
      model: Array<{file: string}>;
      optimizer: {files: string[]};
    };
    const paths = [...json.optimizer.files, ...json.model.map(({file}) => file)];
    const numbers = fc.constantFrom(NaN, Infinity, -1, 1e38, 0);
    const tensors = fc.constantFrom(...paths).chain((path) => {
      const bytes = files.get(path)!;
      /** With another number among the last. */
      const withNumber = fc.tuple(fc.integer({min: 1, max: 8}), numbers).map(([place, x]) => {
        const changed = Uint8Array.from(bytes);
        const {length} = changed;
        new DataView(changed.buffer).setFloat32(length - 4 * place, x, true);
        return changed;
      });
      const damaged = fc.oneof(damagedSafetensors(bytes), withNumber);
      return damaged.map((changed) => () => withTensors(files, path, changed));
    });
    const manifests = damagedJson(json).map((text) => () => withManifest(files, bytesOf(text)));
    const which = fc.constantFrom('newest' as const, 'best' as const);
    const cases = fc.tuple(fc.oneof(manifests, tensors), which);
    const body = async ([make, which]: [
      () => Promise<Files>,
      'newest' | 'best',
    ]): Promise<void> => {
      const changed = await make();
      await resume(training, files, changed, which, () => trainAndSave(training, changed));
    };
    await always(cases, refused, body, RUNS);
  });

  itAtLength('with damage', async () => {
    const paths = [...files.keys()];
    const damage = fc.constantFrom(...paths).chain((path) => {
      const bytes = fc.oneof(
        damagedBytes(files.get(path)!),
        fc.constantFrom(...paths).map((other) => files.get(other)!),
        fc.constant(null),
      );
      return bytes.map((given) => () => {
        const changed = new Map(files);
        if (given) changed.set(path, given);
        else changed.delete(path);
        return changed;
      });
    });
    await always(damage, refused, (make) => resume(training, files, make(), 'newest'), RUNS);
  });
});
