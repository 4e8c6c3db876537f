import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {
  CheckpointCallback,
  OwLoreOptimizer,
  resumeCheckpoint,
  saveCheckpoint,
  type OwLoreOptions,
} from '../../../../src/index';
import {rememberCheckpoint} from '../../../../src/owlore/optimizer/step/lost_device';
import {backends, defaultBackend} from '../../../support/backends';
import {rejection} from '../../../support/rejection';
import {held} from '../../../support/sentinels';
import {describeStandIn} from '../../../support/stand_in';

/** The backends that can lose what they compute on. */
type Name = 'webgpu' | 'webgl';

/** What a user's program does to make the device anew, as the error says. */
async function makeDeviceAnew(name: Name): Promise<void> {
  const factory = tf.findBackendFactory(name);
  tf.removeBackend(name);
  tf.registerBackend(name, factory);
  await tf.setBackend(name);
}

/** The device of webgpu, or the context of webgl, of the current backend. */
function destroyDevice(): void {
  const {device, gpgpu} = tf.backend() as unknown as {
    device?: {destroy(): void};
    gpgpu?: {gl: WebGLRenderingContext};
  };
  device?.destroy();
  gpgpu?.gl.getExtension('WEBGL_lose_context')!.loseContext();
}

/** Takes all memory of the current webgpu backend's device, until it says that there is no more, and gives it back. */
async function fillDevice(): Promise<void> {
  const {device} = tf.backend() as unknown as {device: GPUDevice};
  const buffers: GPUBuffer[] = [];
  let isFull = false;
  device.addEventListener('uncapturederror', () => (isFull = true));
  while (!isFull) {
    const size = device.limits.maxBufferSize;
    buffers.push(device.createBuffer({size, usage: GPUBufferUsage.STORAGE}));
    await device.queue.onSubmittedWorkDone();
    await nextTurn();
  }
  for (const buffer of buffers) buffer.destroy();
}

const ROWS = 8;
const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

class Training {
  readonly model: tfl.LayersModel;
  readonly optimizer: OwLoreOptimizer;
  readonly xs = tf.randomUniform<tf.Rank.R2>([ROWS, 6], -1, 1, 'float32', 5);
  readonly ys = tf.tidy(() => tf.sum(tf.square(this.xs), 1, true));

  constructor(options: OwLoreOptions = {}) {
    const kernelInitializer = tfl.initializers.glorotUniform({seed: 3});
    this.model = tfl.sequential({
      layers: [
        tfl.layers.dense({units: 8, inputShape: [6], activation: 'tanh', kernelInitializer}),
        tfl.layers.dense({units: 1, kernelInitializer}),
      ],
    });
    this.optimizer = new OwLoreOptimizer({learningRate: 0.01, rank: 2, ...options});
    this.model.compile({optimizer: this.optimizer, loss: 'meanSquaredError'});
  }

  get parts(): {model: tfl.LayersModel; optimizer: OwLoreOptimizer} {
    return {model: this.model, optimizer: this.optimizer};
  }

  step(): void {
    this.optimizer.minimize(() =>
      tf.losses.meanSquaredError(this.ys, this.model.apply(this.xs) as tf.Tensor),
    );
  }

  /** One epoch of four batches. */
  async fit(epochs: number, initialEpoch: number, callbacks: tfl.Callback[]): Promise<void> {
    const options = {epochs, initialEpoch, callbacks, batchSize: 2, shuffle: false, verbose: 0};
    await this.model.fit(this.xs, this.ys, options);
  }

  async weights(): Promise<number[]> {
    const all = await Promise.all(this.model.getWeights().map((weight) => weight.data()));
    return all.flatMap((values) => [...values]);
  }

  dispose(): void {
    this.optimizer.dispose();
    this.model.dispose();
    tf.dispose([this.xs, this.ys]);
  }
}

/** Destroys the device after a batch. */
class Destroyer extends tfl.Callback {
  private batches = 0;

  constructor(private readonly at: number) {
    super();
  }

  override async onBatchEnd(): Promise<void> {
    if (++this.batches === this.at) destroyDevice();
  }
}

for (const name of ['webgpu', 'webgl'] as const) {
  (backends.includes(name) ? describe : describe.skip)(`a lost device [${name}]`, function () {
    this.timeout(120_000);
    let start: ReturnType<typeof held>;
    beforeEach(async () => {
      await tf.setBackend(name);
      start = held();
    });
    afterEach(async () => {
      await makeDeviceAnew(name);
      expect(held()).to.deep.equal(start);
      await tf.setBackend(defaultBackend);
    });

    const lost = {
      webgpu: /^OwLoreOptimizer: the device of the backend 'webgpu' is lost \(destroyed/,
      webgl: /^OwLoreOptimizer: the device of the backend 'webgl' is lost \(its context is lost/,
    }[name];

    it('is the error of the next step, also where nothing is checked', async () => {
      const training = new Training({nonFinite: 'ignore'});
      training.step();
      await training.optimizer.settled();
      destroyDevice();
      await nextTurn();
      for (const message of [lost, /there is no checkpoint.*CheckpointCallback/]) {
        expect(() => training.step()).to.throw(message);
        expect(() => training.optimizer.applyGradients({})).to.throw(message);
      }
      training.dispose();
    });

    it('is found by settled() after steps that did not know of it; the error names the checkpoint that was saved last', async () => {
      const training = new Training();
      training.step();
      const files = new Map<string, Uint8Array>();
      await saveCheckpoint(files, training.parts);
      training.step();
      const {path} = await saveCheckpoint(files, training.parts);
      const names = [...files.keys()];
      destroyDevice();
      // webgl tells of it at once
      for (let i = 0; name === 'webgpu' && i < 2; i++) training.step();
      const saving = rejection(saveCheckpoint(files, training.parts));
      const message = new RegExp(`resumeCheckpoint goes on from ${path} in its map`);
      expect((await saving).message)
        .to.match(lost)
        .and.to.match(message);
      expect([...files.keys()]).to.deep.equal(names);
      expect((await rejection(training.optimizer.settled())).message).to.match(message);
      expect(() => training.step()).to.throw(message);
      training.dispose();
    });

    if (name === 'webgpu') {
      it('is one whose memory was full, where else only zeros would tell', async () => {
        const training = new Training({nonFinite: 'ignore'});
        training.step();
        const files = new Map<string, Uint8Array>();
        await saveCheckpoint(files, training.parts);
        const names = [...files.keys()];
        await fillDevice();
        const message =
          /the device of the backend 'webgpu' is lost \(out of memory: .*\), .* goes on from/;
        expect(() => training.step()).to.throw(message);
        expect((await rejection(saveCheckpoint(files, training.parts))).message).to.match(message);
        expect([...files.keys()]).to.deep.equal(names);
        training.dispose();
      });
    }

    it('ends fit, and the training goes on from its checkpoint in the same process', async () => {
      const whole = new Training();
      await whole.fit(2, 0, []);
      const expected = await whole.weights();
      whole.dispose();
      const files = new Map<string, Uint8Array>();
      const saving = (): CheckpointCallback => new CheckpointCallback({target: files});
      const training = new Training();
      const error = await rejection(training.fit(2, 0, [saving(), new Destroyer(6)]));
      expect(error.message)
        .to.match(lost)
        .and.to.match(/goes on from checkpoint-\d+-\w+\.json/);
      training.dispose();

      await makeDeviceAnew(name);
      const resumed = new Training();
      const {epoch} = (await resumeCheckpoint(files, resumed.parts))!;
      expect(epoch).to.equal(1);
      // the last batch, after which no step finds that the device is lost
      const last = await rejection(resumed.fit(2, epoch, [new Destroyer(4)]));
      expect(last.message)
        .to.match(lost)
        .and.to.match(/goes on from checkpoint-\d+-\w+\.json/);
      resumed.dispose();

      await makeDeviceAnew(name);
      const again = new Training();
      await resumeCheckpoint(files, again.parts);
      await again.fit(2, epoch, [saving()]);
      const weights = await again.weights();
      const difference = Math.max(...expected.map((x, i) => Math.abs(x - weights[i]!)));
      // the same program on the same driver
      expect(difference).to.be.below(1e-6);
      again.dispose();
      // A fit that throws leaves tensors of tfjs's: the order of the examples, the sums of its logs.
      const left = tf.memory().numTensors - start.tensors;
      expect(left).to.be.within(0, 6);
      start = held();
    });
  });
}

describeStandIn('webgpu', 'a lost device', () => {
  /** Loses it as the browser does: by a promise. */
  let lose: (info: {reason: string; message: string}) => void;
  let start: ReturnType<typeof held>;
  let training: Training;
  beforeEach(() => {
    const lost = new Promise((resolve) => (lose = resolve));
    Object.assign(tf.backend(), {device: {lost, destroy: () => undefined}});
    start = held();
    training = new Training();
  });
  afterEach(async () => {
    training.dispose();
    expect(held()).to.deep.equal(start);
    await makeDeviceAnew('webgpu');
  });
  const destroy = async (): Promise<void> => {
    lose({reason: 'destroyed', message: 'by a test'});
    await nextTurn();
  };

  it('is the error of steps and of settled(), with what to do', async () => {
    training.step();
    await training.optimizer.settled();
    const weights = await training.weights();
    await destroy();
    const message =
      "OwLoreOptimizer: the device of the backend 'webgpu' is lost (destroyed: by a test), with all weights and states. " +
      "To go on: const factory = tf.findBackendFactory('webgpu'); tf.removeBackend('webgpu'); " +
      "tf.registerBackend('webgpu', factory); await tf.setBackend('webgpu'); then make model, optimizer and callback again: " +
      'there is no checkpoint of this training; a CheckpointCallback saves some';
    const {optimizer} = training;
    expect(() => training.step()).to.throw(message);
    expect(() => optimizer.applyGradients({})).to.throw(message);
    expect((await rejection(optimizer.settled())).message).to.equal(message);
    expect(await training.weights()).to.deep.equal(weights);
    rememberCheckpoint(optimizer, 'a place');
    expect(() => training.step()).to.throw('callback again: resumeCheckpoint goes on from a place');
  });

  it('is the error of settled() in the place of what reading from it gives', async () => {
    const {optimizer} = training;
    const backend = tf.backend();
    const {read} = backend;
    let fail: () => void;
    backend.read = () =>
      new Promise((_, reject) => (fail = () => reject(new Error('of the driver'))));
    try {
      for (const [isLost, message] of [
        [false, /^of the driver$/],
        [true, /the device of the backend 'webgpu' is lost/],
      ] as const) {
        training.step();
        const settled = rejection(optimizer.settled());
        if (isLost) await destroy();
        fail!();
        expect((await settled).message).to.match(message);
      }
    } finally {
      backend.read = read;
    }
  });
});
