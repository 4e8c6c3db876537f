import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  CheckpointCallback,
  LayerSamplingCallback,
  OwLoreOptimizer,
  resumeCheckpoint,
  type CheckpointCallbackOptions,
  type CheckpointParts,
} from '../../src/index';
import type {Manifest} from '../../src/checkpoint/manifest';
import {uninstallKernels} from '../../src/kernels/tensorflow';
import {
  createLlama,
  loadLlama,
  saveLlama,
  sparseCrossEntropy,
  textDataset,
  type LlamaConfig,
  type TextDataset,
  type Tokenizer,
} from '../../src/llama';
import {valuesOf} from '../../src/model/packed_weight';
import {describeFastBackends} from '../support/backends';
import {rejection} from '../support/rejection';
import {held} from '../support/sentinels';
import {installNewKernels, NumberedBatches, smallModel} from './small_training';

type Files = Map<string, Uint8Array>;

/** Letters as tokens. */
const letters = {
  encode: (text: string) => Array.from(text, (char) => char.charCodeAt(0) % 32),
  decode: (ids: readonly number[]) => ids.join(' '),
  eosTokenId: 31,
  padTokenId: 0,
} as unknown as Tokenizer;

const lines = new TextEncoder().encode(
  Array.from({length: 23}, (_, i) =>
    JSON.stringify({text: 'abcdefghij'.slice(i % 5, 4 + (i % 7))}),
  ).join('\n'),
);

/** Losses of all batches. */
class Losses extends tfl.Callback {
  readonly values: number[] = [];

  override async onBatchEnd(_: number, logs?: tfl.Logs): Promise<void> {
    this.values.push((await (logs!.loss as unknown as tf.Scalar).data())[0]!);
  }
}

async function weightsOf(model: tfl.LayersModel): Promise<number[][]> {
  return Promise.all(model.weights.map(async (weight) => Array.from(await valuesOf(weight))));
}

const llamaConfig: LlamaConfig = {
  ...{vocabSize: 32, hiddenSize: 8, intermediateSize: 12, numHiddenLayers: 3},
  numAttentionHeads: 2,
};

const textBatches = (repeat = false): TextDataset =>
  textDataset(lines, letters, {
    ...{maxLength: 8, batchSize: 3, packing: true, shuffle: true, format: 'text', repeat},
  });

/** The files of all checkpoints up to each one that a run has left, from the first on. */
function filesUpToEach(files: Files): Files[] {
  const checkpoints = [...files.keys()].filter((path) => path.endsWith('.json')).sort();
  return checkpoints.map(
    (path) => new Map([...files].filter(([name]) => !name.endsWith('.json') || name <= path)),
  );
}

describeFastBackends('CheckpointCallback', (backend) => {
  let before: ReturnType<typeof held>;
  beforeEach(() => (before = held()));
  afterEach(() => expect(held()).to.deep.equal(before));
  after(uninstallKernels);

  // For webgpu's software driver exact_resume_test.ts has a LLaMA.
  const itIfFast = backend === 'webgpu' ? it.skip : it;
  itIfFast('goes on in the middle of an epoch of a TextDataset, exactly', async () => {
    const EPOCHS = 3;
    /** Trains to the end from `files`; with `every`, from the start, with checkpoints. */
    async function run(files: Files, every?: number): Promise<{losses: number[]; end: unknown}> {
      installNewKernels();
      const model = createLlama({...llamaConfig, seed: every === undefined ? 2 : 1});
      const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 2, accumulate: 2});
      const callback = new LayerSamplingCallback({gamma: 1, interval: 2});
      const data = textBatches();
      model.compile({optimizer, loss: sparseCrossEntropy});
      const losses = new Losses();
      const callbacks: tfl.Callback[] = [callback, losses];
      let initialEpoch = 0;
      if (every === undefined) {
        initialEpoch = (await resumeCheckpoint(files, {model, optimizer, callback, data}))!.epoch;
      } else {
        callbacks.push(new CheckpointCallback({target: files, callback, data, every, keep: 100}));
      }
      await model.fitDataset(data, {epochs: EPOCHS, initialEpoch, callbacks, verbose: 0});
      const end = [await weightsOf(model), callback.getState(), optimizer.iterations];
      model.dispose();
      optimizer.dispose();
      return {losses: losses.values, end};
    }
    const files: Files = new Map();
    const whole = await run(files, 1);
    const stops = filesUpToEach(files);
    expect(stops).to.have.length.greaterThan(4);
    for (const upTo of stops) {
      const {losses, end} = await run(upTo);
      expect(losses).to.deep.equal(whole.losses.slice(whole.losses.length - losses.length));
      expect(end).to.deep.equal(whole.end);
    }
  }).timeout(120_000);

  itIfFast('saves the weights as they are before the callback begins the next period', async () => {
    const original: Files = new Map();
    const made = createLlama({...llamaConfig, seed: 1});
    await saveLlama(made, original);
    made.dispose();
    /** Trains to the end, from `from` if given; with checkpoints after every second batch in `to`, if given. */
    async function run({from, to}: {from?: Files; to?: Files}): Promise<unknown> {
      installNewKernels();
      const {model} = await loadLlama(original, {frozenDtype: 'BF16'});
      const optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 2});
      const callback = new LayerSamplingCallback({gamma: 1, interval: 2});
      const data = textBatches();
      model.compile({optimizer, loss: sparseCrossEntropy});
      const epoch = from
        ? (await resumeCheckpoint(from, {model, optimizer, callback, data}))!.epoch
        : 0;
      const callbacks: tfl.Callback[] = [callback];
      if (to) {
        const options = {target: to, callback, data, every: 2, keep: 100};
        callbacks.push(new CheckpointCallback(options));
      }
      await model.fitDataset(data, {epochs: 2, initialEpoch: epoch, callbacks, verbose: 0});
      const end = [await weightsOf(model), callback.getState(), optimizer.iterations];
      model.dispose();
      optimizer.dispose();
      return end;
    }
    const to: Files = new Map();
    const whole = await run({});
    expect(await run({to})).to.deep.equal(whole);
    const stops = filesUpToEach(to);
    expect(stops).to.have.length.greaterThan(3);
    for (const from of stops) expect(await run({from})).to.deep.equal(whole);
  }).timeout(120_000);

  type Parts = CheckpointParts & {callback: LayerSamplingCallback};

  /** A model and what trains it. */
  function makeParts(seed: number): Parts {
    const model = smallModel(seed, 4);
    const optimizer = new OwLoreOptimizer({learningRate: 0.02, rank: 2, accumulate: 3});
    model.compile({optimizer, loss: 'meanSquaredError', metrics: []});
    return {model, optimizer, callback: new LayerSamplingCallback({gamma: 2, interval: 1})};
  }

  async function fit(
    {model, callback}: {model: tfl.LayersModel; callback: LayerSamplingCallback},
    args: Partial<tfl.ModelFitArgs>,
    options?: Omit<CheckpointCallbackOptions, 'callback'>,
  ): Promise<tfl.History> {
    const x = tf.randomUniform([20, 6], -1, 1, 'float32', 3);
    const y = tf.sum(x, 1, true);
    try {
      const callbacks = options
        ? [callback, new CheckpointCallback({...options, callback})]
        : [callback];
      return await model.fit(x, y, {batchSize: 5, shuffle: false, verbose: 0, callbacks, ...args});
    } finally {
      tf.dispose([x, y]);
    }
  }

  it('goes on at the end of an epoch of fit, exactly, with an accumulated step open', async () => {
    const first = makeParts(1);
    const files: Files = new Map();
    await fit(first, {epochs: 2}, {target: files});
    const {history} = await fit(first, {epochs: 5, initialEpoch: 2});
    const second = makeParts(2);
    const {epoch} = (await resumeCheckpoint(files, second))!;
    expect([epoch, second.optimizer.accumulated]).to.deep.equal([2, 2]);
    const resumed = await fit(second, {epochs: 5, initialEpoch: epoch});
    expect(resumed.history.loss).to.deep.equal(history.loss);
    expect(await weightsOf(second.model)).to.deep.equal(await weightsOf(first.model));
    for (const {model, optimizer} of [first, second]) {
      model.dispose();
      optimizer.dispose();
    }
  });

  it('keeps the best, by a loss on other data', async () => {
    const parts = makeParts(1);
    const files: Files = new Map();
    const validationData: [tf.Tensor, tf.Tensor] = [tf.ones([5, 6]), tf.zeros([5, 1])];
    const saved: string[] = [];
    const {history} = await fit(
      parts,
      {epochs: 6, validationData},
      {target: files, keep: 1, best: 'val_loss', onSave: ({path}) => void saved.push(path)},
    );
    const losses = history.val_loss as number[];
    const best = losses.indexOf(Math.min(...losses));
    expect(saved).to.have.length(6);
    const kept = [...files.keys()].filter((path) => path.endsWith('.json')).sort();
    expect(kept).to.deep.equal([...new Set([saved[best], saved[5]])]);
    const again = makeParts(2);
    const resumed = (await resumeCheckpoint(files, again, {which: 'best'}))!;
    expect([resumed.epoch, resumed.metric]).to.deep.equal([best + 1, losses[best]]);
    for (const {model, optimizer} of [parts, again]) {
      model.dispose();
      optimizer.dispose();
    }
    tf.dispose(validationData);
  });

  /** Stops the training after some batches, or at the end of an epoch. */
  class Stop extends tfl.Callback {
    constructor(private left: number) {
      super();
    }

    override async onBatchEnd(): Promise<void> {
      if (--this.left === 0) this.model.stopTraining = true;
    }

    override async onEpochEnd(): Promise<void> {
      if (this.left === Infinity) this.model.stopTraining = true;
    }
  }

  /** Batches by which a training is stopped, whether its length is known, and the epochs that are then complete. */
  const stops: Array<[batches: number, size: number | undefined, epochs: number]> = [
    [4, undefined, 0],
    [4, 5, 0],
    [5, 5, 1],
    [8, undefined, 1],
    [10, undefined, 2],
    [Infinity, undefined, 1],
    [Infinity, 5, 1],
  ];
  it('goes on in an epoch that was stopped, and after one at whose end it was stopped', async () => {
    for (const [batches, size, epochs] of stops) {
      const files: Files = new Map();
      for (const isFirst of [true, false]) {
        const parts = makeParts(1);
        const {model, optimizer} = parts;
        const data = Object.assign(new NumberedBatches(5), {size});
        const what = {...parts, callback: undefined, data};
        const checkpoints = new CheckpointCallback({target: files, data});
        // One that stops at the end of an epoch is told of it first.
        const stop = new Stop(batches);
        const both = batches === Infinity ? [stop, checkpoints] : [checkpoints, stop];
        const callbacks = isFirst ? both : [];
        const initialEpoch = isFirst ? 0 : (await resumeCheckpoint(files, what))!.epoch;
        if (!isFirst) expect(initialEpoch, String([batches, size])).to.equal(epochs);
        await model.fitDataset(data as never, {epochs: 3, initialEpoch, callbacks, verbose: 0});
        const done = batches === Infinity ? 5 : batches;
        expect(optimizer.iterations * 3 + optimizer.accumulated).to.equal(isFirst ? done : 15);
        model.dispose();
        optimizer.dispose();
      }
    }
  });

  /** Batches of a pass of the data below. */
  const PASS = 5;
  const EPOCHS = 3;
  /** Sizes that the data give of themselves, and the batches after which one run after the other is stopped. */
  const repeatedStops: Array<[size: number | undefined, runs: number[]]> = [
    [PASS, [4, 1]],
    [PASS, [2, 1, 1]],
    [undefined, [4, 3]],
    [undefined, [7, 1, 3]],
  ];
  it('trains each pass once, however often it is stopped', async () => {
    for (const [size, runs] of repeatedStops) {
      const files: Files = new Map();
      let done = 0;
      for (const batches of [...runs, Infinity]) {
        const parts = makeParts(1);
        const {model, optimizer} = parts;
        const data = Object.assign(new NumberedBatches(PASS), {size});
        const what = {...parts, callback: undefined, data};
        const resumed = await resumeCheckpoint(files, what);
        const where = [resumed?.epoch ?? 0, resumed?.batches ?? 0];
        const place = [Math.floor(done / PASS), done % PASS];
        expect(where, `${size}: ${runs}, after ${done}`).to.deep.equal(place);
        const checkpoints = new CheckpointCallback({target: files, data});
        const callbacks = [checkpoints, new Stop(batches === Infinity ? -1 : batches)];
        const args = {epochs: EPOCHS, initialEpoch: where[0], callbacks, verbose: 0};
        await model.fitDataset(data as never, args);
        done = Math.min(done + batches, EPOCHS * PASS);
        expect(optimizer.iterations * 3 + optimizer.accumulated).to.equal(done);
        model.dispose();
        optimizer.dispose();
      }
    }
  });

  it('counts an epoch of batchesPerEpoch, and one of fit, as tfjs does: from where it begins', async () => {
    const PER_EPOCH = 4;
    const files: Files = new Map();
    let done = 0;
    // the third run stops in the second epoch
    for (const batches of [2, 1, 3, Infinity]) {
      const parts = makeParts(1);
      const {model, optimizer} = parts;
      const data = new NumberedBatches();
      const resumed = await resumeCheckpoint(files, {...parts, callback: undefined, data});
      const {epoch = 0, batches: before = 0} = resumed ?? {};
      expect([epoch, before]).to.deep.equal([Math.floor(done / PER_EPOCH), done % PER_EPOCH]);
      const stop = new Stop(batches === Infinity ? -1 : batches);
      const callbacks = [new CheckpointCallback({target: files, data}), stop];
      const args = {callbacks, verbose: 0};
      const goOn = (initialEpoch: number, epochs: number, batchesPerEpoch: number) =>
        model.fitDataset(data as never, {...args, initialEpoch, epochs, batchesPerEpoch});
      // as docs/checkpoints.md does
      if (before > 0) await goOn(epoch, epoch + 1, PER_EPOCH - before);
      const next = before > 0 ? epoch + 1 : epoch;
      if (!model.stopTraining) await goOn(next, EPOCHS, PER_EPOCH);
      done = Math.min(done + batches, EPOCHS * PER_EPOCH);
      expect(optimizer.iterations * 3 + optimizer.accumulated).to.equal(done);
      model.dispose();
      optimizer.dispose();
    }
    const inFit: Files = new Map();
    for (const batches of [3, 2]) {
      const parts = {...makeParts(1), callback: undefined};
      await resumeCheckpoint(inFit, parts);
      const callbacks = [new CheckpointCallback({target: inFit}), new Stop(batches)];
      await fit({...parts, callback: null!}, {epochs: 1, callbacks});
      expect((await resumeCheckpoint(inFit, parts))!.epoch).to.equal(0);
      parts.model.dispose();
      parts.optimizer.dispose();
    }
  });

  it('begins anew after a fit that threw', async () => {
    const parts = makeParts(1);
    const {model} = parts;
    const saved: number[] = [];
    const onSave = (): void => void saved.push(parts.optimizer.iterations);
    const checkpoints = new CheckpointCallback({target: new Map(), every: 1, onSave});
    const failing = new tfl.CustomCallback({
      onEpochEnd: () => {
        throw new Error('before the checkpoint');
      },
    });
    const fitBatches = (count: number, callbacks: tfl.ModelFitArgs['callbacks']) =>
      model.fitDataset(new NumberedBatches(count) as never, {epochs: 1, verbose: 0, callbacks});
    const {message} = await rejection(fitBatches(3, [failing, checkpoints]));
    expect(message).to.equal('before the checkpoint');
    expect(saved).to.deep.equal([]);
    await fitBatches(4, [checkpoints]);
    // not at the beginning
    expect(saved).to.deep.equal([2]);
    model.dispose();
    parts.optimizer.dispose();
  });

  /** Of each checkpoint in the order of saving where it stands. */
  function placesIn(files: Files): Array<[step: number, epoch: number, batches: number]> {
    const paths = [...files.keys()].filter((path) => path.endsWith('.json')).sort();
    return paths.map((path) => {
      const {step, epoch, batches} = JSON.parse(
        new TextDecoder().decode(files.get(path)),
      ) as Record<'step' | 'epoch' | 'batches', number>;
      return [step, epoch, batches];
    });
  }

  // three epochs of four batches, three of which are a step
  for (const [options, places] of [
    [
      {},
      [
        [1, 1, 0],
        [2, 2, 0],
        [4, 3, 0],
      ],
    ],
    [
      {every: 2},
      [
        [2, 1, 2],
        [4, 3, 0],
      ],
    ],
    [
      {every: 2, best: 'loss'},
      [
        [1, 1, 0],
        [2, 1, 2],
        [2, 2, 0],
        [4, 3, 0],
      ],
    ],
  ] as const) {
    it(`saves where it was asked to: ${JSON.stringify(options)}`, async () => {
      const parts = makeParts(1);
      const files: Files = new Map();
      await fit(parts, {epochs: 3}, {...options, target: files, keep: 100});
      expect(placesIn(files)).to.deep.equal(places);
      parts.model.dispose();
      parts.optimizer.dispose();
    });
  }

  it('takes an epoch that was stopped in its last batch for complete, without the metric that it then lacks', async () => {
    const xs = tf.ones([5, 6]);
    const ys = tf.zeros([5, 1]);
    const data = Object.assign(new NumberedBatches(5), {size: 5});
    const validationData = {iterator: async () => [{xs, ys}].values()} as never;
    const trainings: Array<
      [isMeasured: boolean, (p: Parts, c: tfl.Callback[]) => Promise<unknown>]
    > = [
      [true, (parts, callbacks) => fit(parts, {epochs: 3, callbacks: [...callbacks, new Stop(4)]})],
      [
        false,
        ({model}, callbacks) => {
          const args = {epochs: 3, verbose: 0, validationData, validationBatches: 1};
          return model.fitDataset(data, {...args, callbacks: [...callbacks, new Stop(5)]});
        },
      ],
    ];
    for (const [isMeasured, train] of trainings) {
      const parts = makeParts(1);
      const files: Files = new Map();
      const best = isMeasured ? 'loss' : 'val_loss';
      await train(parts, [new CheckpointCallback({target: files, best})]);
      const {epoch, batches, metric} = (await resumeCheckpoint(files, {
        ...parts,
        callback: undefined,
      }))!;
      expect([epoch, batches, metric !== null]).to.deep.equal([1, 0, isMeasured]);
      parts.model.dispose();
      parts.optimizer.dispose();
    }
    tf.dispose([xs, ys]);
  });

  it('takes a metric that another callback has computed', async () => {
    const parts = makeParts(1);
    const files: Files = new Map();
    const metrics = [3, 1, 2];
    const measure = new (class extends tfl.Callback {
      override async onEpochEnd(epoch: number, logs?: tfl.Logs): Promise<void> {
        logs!.score = metrics[epoch]!;
      }
    })();
    const checkpoints = new CheckpointCallback({target: files, best: 'score'});
    await fit(parts, {epochs: 3, callbacks: [measure, checkpoints]});
    const best = (await resumeCheckpoint(files, {...parts, callback: undefined}, {which: 'best'}))!;
    expect([best.epoch, best.metric]).to.deep.equal([2, 1]);
    parts.model.dispose();
    parts.optimizer.dispose();
  });

  it('has the place after the batch, also of data that give the same object for each and change it', async () => {
    const {model, optimizer} = makeParts(1);
    const files: Files = new Map();
    const batches = new NumberedBatches(PASS);
    const place = {batch: 0};
    const data = {
      size: PASS,
      state: () => place,
      restore: () => undefined,
      async iterator() {
        const each = await batches.iterator();
        return {next: () => (place.batch++, each.next())};
      },
    };
    const checkpoints = new CheckpointCallback({target: files, data, every: 1});
    await model.fitDataset(data, {epochs: 1, callbacks: [checkpoints], verbose: 0});
    const saved = [...files].filter(([name]) => name.endsWith('.json'));
    const places = saved.map(
      ([, bytes]) => JSON.parse(new TextDecoder().decode(bytes)) as Manifest,
    );
    // a step has three batches
    expect(places.map((each) => each.data)).to.deep.include({batch: 3});
    for (const {step, data: at, batches: done} of places.filter((each) => each.batches > 0))
      expect([at, done]).to.deep.equal([{batch: 3 * step}, 3 * step]);
    model.dispose();
    optimizer.dispose();
  });

  it('saves an epoch that was stopped without a metric', async () => {
    const parts = makeParts(1);
    const files: Files = new Map();
    const validationData: [tf.Tensor, tf.Tensor] = [tf.ones([5, 6]), tf.zeros([5, 1])];
    const checkpoints = new CheckpointCallback({target: files, best: 'val_loss'});
    await fit(parts, {epochs: 3, validationData, callbacks: [checkpoints, new Stop(6)]});
    const again = {...makeParts(2), callback: undefined};
    const newest = (await resumeCheckpoint(files, again))!;
    expect([newest.epoch, newest.metric]).to.deep.equal([1, null]);
    const best = (await resumeCheckpoint(files, again, {which: 'best'}))!;
    expect(best.epoch).to.equal(1);
    expect(best.metric).to.be.a('number');
    for (const {model, optimizer} of [parts, again]) {
      model.dispose();
      optimizer.dispose();
    }
    tf.dispose(validationData);
  });

  it('throws where it could not save', async () => {
    const wrong: Array<[object, RegExp]> = [
      [{}, /a target is the path of a folder, a FileSystemDirectoryHandle or a Map; got undefined/],
      [
        {target: ''},
        /a target is the path of a folder, a FileSystemDirectoryHandle or a Map; got ''/,
      ],
      [{target: new Map(), every: 0}, /every must be an integer >= 1; got 0/],
      [{target: new Map(), keep: 1.5}, /keep must be an integer >= 1; got 1.5/],
      [{target: new Map(), best: 1}, /best must be the name of a number in the logs/],
      [{target: new Map(), interval: 1}, /unknown option 'interval'/],
    ];
    for (const [options, message] of wrong) {
      expect(() => new CheckpointCallback(options as CheckpointCallbackOptions)).to.throw(message);
    }
    const parts = makeParts(1);
    const callback = new CheckpointCallback({target: new Map(), best: 'val_acc'});
    callback.setModel(parts.model);
    const noMetric = await rejection(callback.onEpochEnd(0, {loss: 1}));
    expect(noMetric.message).to.match(
      /best is 'val_acc', which is not in the logs; they have .*loss/,
    );
    const wrapped = new tfl.CustomCallback(new CheckpointCallback({target: new Map()}));
    const copied = await rejection(fit(parts, {epochs: 1, callbacks: [wrapped]}));
    expect(copied.message).to.match(/fit\(\) calls this callback as a plain object of functions/);
    const copies = [{}, {onEpochEnd: () => undefined}].map((others) =>
      Object.assign({}, others, new CheckpointCallback({target: new Map()})),
    );
    for (const copy of copies) {
      for (const callbacks of [[copy], [copy, new tfl.CustomCallback({})]]) {
        const error = await rejection(fit(parts, {epochs: 1, callbacks}));
        expect(error.message).to.match(/as a plain object of functions: it was copied/);
      }
    }
    parts.model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    const data = new NumberedBatches(2);
    const callbacks = [new CheckpointCallback({target: new Map()})];
    const sgd = await rejection(
      parts.model.fitDataset(data as never, {epochs: 1, callbacks, verbose: 0}),
    );
    expect(sgd.message).to.match(/optimizer must be an OwLoreOptimizer/);
    parts.model.optimizer.dispose();
    parts.model.dispose();
    parts.optimizer.dispose();
  });
});
