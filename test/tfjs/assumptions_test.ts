import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import * as engine from '../../src/tfjs/engine';
import * as fit from '../../src/tfjs/fit';
import {readsInput} from '../../src/tfjs/gradient_reads';
import {findKernel, replaceKernel} from '../../src/tfjs/kernels';
import {replaceMethods, withMethods} from '../../src/tfjs/methods';
import * as models from '../../src/tfjs/models';
import * as optimizers from '../../src/tfjs/optimizers';
import {asSaved, fromSavedText, toSavedText} from '../../src/tfjs/saved_config';
import {backends, describeBackends} from '../support/backends';
import {rejection} from '../support/rejection';
import {captureWarnings} from '../support/warnings';

/*
 * What src/tfjs takes for granted of tfjs, each by itself and on stock tfjs: another version of tfjs that breaks one of these fails
 * here by its name, where the tests of what is built on it would fail in many places.
 *
 * - the engine: ops, its tape, tensors and their data, its reads
 * - the registry of kernels
 * - tfjs-layers: models, their weights and layers, fit and its callbacks
 * - optimizers, and what becomes of their configuration in a saved model
 */

/** Dense layers called a, b, …, of `units` each. */
function sequential(count = 2, units = 2): tfl.Sequential {
  return tfl.sequential({
    layers: Array.from({length: count}, (_, i) =>
      tfl.layers.dense({name: 'abcdef'[i], units, inputShape: i === 0 ? [units] : undefined}),
    ),
  });
}

/** Trains for `steps` batches of one row. */
async function train(
  model: tfl.LayersModel,
  callbacks: unknown,
  steps = 2,
  args: Partial<tfl.ModelFitArgs> = {},
): Promise<void> {
  const [x, y] = [tf.ones([steps, 2]), tf.ones([steps, 2])];
  try {
    const given = {batchSize: 1, verbose: 0, callbacks: callbacks as tfl.Callback[], ...args};
    await model.fit(x, y, given);
  } finally {
    tf.dispose([x, y]);
  }
}

describe('what is assumed of tfjs 4.22', () => {
  describe('methods that are replaced', () => {
    it('a missing one is an error that names it, and nothing was changed', () => {
      const object: Record<string, unknown> = {a: () => 1};
      const message = "there is no method 'b' where tfjs-core 4.22 and tfjs-layers 4.22 have one";
      expect(() => replaceMethods(object, {a: () => 2, b: () => 2})).to.throw(message);
      expect((object['a'] as () => number)()).to.equal(1);
    });

    it('are put back as they were: own, inherited, not enumerable, after an error', () => {
      class Base {
        one(): number {
          return 1;
        }
      }
      const own = new Base();
      own.one = () => 2;
      const [inherits, prototype] = [new Base(), Base.prototype];
      const before = Object.getOwnPropertyDescriptor(prototype, 'one');
      for (const object of [own, inherits, prototype]) {
        const value = object.one();
        const fail = (): void => {
          expect(object.one()).to.equal(3);
          throw new Error('inside');
        };
        expect(() => withMethods(object, {one: () => 3}, fail)).to.throw('inside');
        expect(object.one()).to.equal(value);
      }
      expect(Object.keys(inherits)).to.deep.equal([]);
      expect(Object.getOwnPropertyDescriptor(prototype, 'one')).to.deep.equal(before);
    });
  });

  describe('the engine', () => {
    let x: tf.Tensor1D;
    beforeEach(() => {
      tf.engine().startScope();
      x = tf.tensor1d([1, 2, 3]);
    });
    afterEach(() => tf.engine().endScope());

    it('has the members that the tape stands on', () => {
      expect(engine.isKnownEngine()).to.equal(true);
    });

    it('every op asks runKernelFunc: kernels by name, inputs and attributes, custom gradients by functions', () => {
      const calls: engine.OpCall[] = [];
      const custom = tf.customGrad((a) => ({
        value: tf.square(a as tf.Tensor),
        gradFunc: (dy) => dy,
      }));
      engine.interceptOps(
        (call, run) => {
          calls.push(call);
          return run(call);
        },
        () => custom(tf.sum(x, 0, true)),
      );
      const [sum, customCall, inside] = calls;
      expect(sum).to.include({kernelName: tf.Sum});
      expect(sum!.inputs['x']!.id).to.equal(x.id);
      expect(calls.map(({kernelName}) => kernelName)).to.include(tf.Square);
      expect(calls.map(({kernelName}) => kernelName)).to.include(undefined);
      const own = calls.find(({kernelName}) => kernelName === undefined)!;
      expect(own.forwardFunc).to.be.a('function');
      expect(own.backwardsFunc).to.be.a('function');
      expect([customCall, inside]).not.to.include(undefined);
    });

    it('an op inside of another one is deeper, and an error leaves the depth as it was', () => {
      const depths: number[] = [];
      const run = (): unknown =>
        engine.interceptOps(
          (call, runOp) => {
            depths.push(engine.opDepth());
            return runOp(call);
          },
          () => tf.customGrad((a) => ({value: tf.neg(a as tf.Tensor), gradFunc: (dy) => dy}))(x),
        );
      run();
      expect(depths).to.deep.equal([0, 1]);
      const failing = tf.customGrad(() => {
        throw new Error('inside');
      });
      expect(() => failing(x)).to.throw('inside');
      expect(engine.opDepth()).to.equal(0);
    });

    it('its tape does not record inside of an op', async () => {
      const grads = tf.grad((a) =>
        tf.add(
          tf.square(a),
          engine.insideOfOp(() => tf.square(a)),
        ),
      );
      expect([...(await grads(x).data())]).to.deep.equal([2, 4, 6]);
    });

    it('it is in a gradient while gradientDepth is above 0, also for its own tape', () => {
      const seen: boolean[] = [engine.isInGradient()];
      tf.grad((a) => {
        seen.push(engine.isInGradient());
        return tf.square(a);
      })(x);
      engine.insideOfGradient(() => seen.push(engine.isInGradient()));
      seen.push(engine.isInGradient());
      expect(seen).to.deep.equal([false, true, true, false]);
    });

    it('tf.grad and its kin ask its gradients', () => {
      let calls = 0;
      const zero: engine.Gradients = (f, xs) => {
        calls++;
        return {value: f(), grads: xs.map((each) => tf.zerosLike(each))};
      };
      const variable = tf.variable(x);
      engine.withGradients(zero, () => {
        tf.grad((a) => tf.square(a))(x);
        tf.grads((a) => tf.square(a))([x]);
        tf.valueAndGrad((a) => tf.square(a))(x);
        tf.valueAndGrads((a) => tf.square(a))([x]);
        tf.variableGrads(() => tf.sum(tf.square(variable)), [variable]);
      });
      variable.dispose();
      expect(calls).to.equal(5);
    });

    it('numbers tensors upwards', () => {
      const before = tf.zeros([1]).id;
      const between = engine.nextTensorId();
      expect(between).to.be.above(before);
      expect(tf.zeros([1]).id).to.be.above(between);
    });

    it('keeps, variables and reads of the host ask it for the data', async () => {
      const uses: object[] = [];
      let reading!: Promise<unknown>;
      engine.watchDataUses(
        (dataId) => uses.push(dataId),
        () => {
          tf.keep(x).dispose();
          const [y, z, w] = [tf.ones([1]), tf.ones([1]), tf.ones([1])];
          tf.variable(y).dispose();
          z.dataSync();
          reading = w.data();
          expect(uses).to.include.members([y, z, w].map(({dataId}) => dataId));
        },
      );
      await reading;
      expect(uses).to.include(x.dataId);
    });

    it('tells of all data that are made and freed, once each', () => {
      const [alive, freed] = [new Set<object>(), new Set<object>()];
      const stop = engine.watchData({
        onTensor: ({dataId}) => alive.add(dataId),
        onFree: (dataId) => freed.add(dataId),
      });
      const before = tf.memory().numDataBuffers;
      tf.tidy(() => void tf.square(tf.add(x, 1)));
      expect(tf.memory().numDataBuffers).to.equal(before);
      stop();
      expect(alive.size).to.be.at.least(2);
      expect([...alive].every((dataId) => freed.has(dataId))).to.equal(true);
    });

    it('revives a tensor that was disposed of while its data are held', async () => {
      const held = engine.shareData(x);
      const {id} = x;
      x.dispose();
      expect(() => x.clone()).to.throw('disposed');
      const clone = engine.withRevived([x], () => x.clone());
      expect([...(await clone.data())]).to.deep.equal([1, 2, 3]);
      clone.dispose();
      expect(x).to.include({id, isDisposed: true});
      held.dispose();
      expect(engine.hasData(x.dataId)).to.equal(false);
    });

    it('frees the data of a variable, which stays under its name and takes others', async () => {
      const {numTensors, numBytes} = tf.memory();
      const variable = tf.variable(x, true, 'released');
      const clone = tf.clone(variable);
      engine.releaseData(variable);
      clone.dispose();
      expect(tf.memory()).to.include({numTensors, numBytes});
      expect(tf.engine().registeredVariables['released']).to.equal(variable);
      tf.tidy(() => variable.assign(tf.square(x)));
      expect([...(await variable.data())]).to.deep.equal([1, 4, 9]);
      engine.releaseData(variable);
      variable.dispose();
      expect(tf.memory()).to.include({numTensors, numBytes});
      expect(tf.engine().registeredVariables).not.to.have.property('released');
    });

    it('gives a tensor that was kept back to its scope', () => {
      const {numTensors} = tf.memory();
      tf.tidy(() => {
        const kept = tf.tidy(() => tf.keep(tf.square(x)));
        expect(tf.memory().numTensors).to.equal(numTensors + 1);
        engine.releaseToScope(kept);
      });
      expect(tf.memory().numTensors).to.equal(numTensors);
    });

    it('random ops draw their seeds from Math.random, and only from it', async () => {
      const random = (): tf.Tensor[] => [
        tf.randomUniform([3]),
        tf.randomNormal([3]),
        tf.truncatedNormal([3]),
        tf.dropout(tf.ones([8]), 0.5),
        tf.multinomial(tf.tensor1d([0.5, 0.5]), 4),
      ];
      const numbers = await Promise.all(
        [random, random].map(async (draw) => {
          let next = 0;
          const drawn = engine.withRandom(() => (next = (next * 5 + 0.3) % 1), draw);
          expect(next).not.to.equal(0);
          return Promise.all(drawn.map(async (tensor) => [...(await tensor.data())]));
        }),
      );
      expect(numbers[0]).to.deep.equal(numbers[1]);
    });

    it('layers assign to their variables by assign', () => {
      const layer = tfl.layers.batchNormalization({inputShape: [3]});
      const assigned = new Set<string>();
      engine.watchAssignments(
        ({name}) => assigned.add(name),
        () => layer.apply(tf.ones([4, 3]), {training: true}),
      );
      expect([...assigned].map((name) => name.replace(/^.*\//, '')).sort()).to.deep.equal([
        'moving_mean',
        'moving_variance',
      ]);
      layer.dispose();
    });

    it('a backend that is not the current one is told by the data', async () => {
      if (backends.length < 2) return;
      expect(engine.isOnCurrentBackend(x)).to.equal(true);
      await tf.setBackend(backends[1]!);
      expect(engine.isOnCurrentBackend(x)).to.equal(false);
      await tf.setBackend(backends[0]!);
    });
  });

  describeBackends('data that tensors share', (backend) => {
    it('are the same data, without a copy, and live as long as one of them', async () => {
      const x = tf.tensor1d([1, 2, 3]);
      const {numDataBuffers, numTensors} = tf.memory();
      const shared = tf.tidy(() => engine.shareData(x));
      expect(tf.memory()).to.include({numDataBuffers, numTensors: numTensors + 1});
      x.dispose();
      expect([...(await tf.square(shared).data())]).to.deep.equal([1, 4, 9]);
      shared.dispose();
      expect(engine.hasData(shared.dataId), backend).to.equal(false);
    });
  });

  describeBackends('gradient functions that read shapes alone', () => {
    /** Each kernel with an op of it, of a tensor [2, 3]. */
    const ops: Record<string, (x: tf.Tensor2D) => tf.Tensor> = {
      [tf.Add]: (x) => tf.add(x, tf.sum(x, 0)),
      [tf.Concat]: (x) => tf.concat([x, x], 1),
      [tf.Cumsum]: (x) => tf.cumsum(x, 1),
      [tf.Mean]: (x) => tf.mean(x, 0),
      [tf.MirrorPad]: (x) => tf.mirrorPad(x, [[1, 1], [0, 0]], 'reflect'), // prettier-ignore
      [tf.Pack]: (x) => tf.stack([x, x]),
      [tf.PadV2]: (x) => tf.pad(x, [[1, 0], [0, 2]]), // prettier-ignore
      [tf.Reshape]: (x) => tf.reshape(x, [3, 2]),
      [tf.Slice]: (x) => tf.slice(x, [0, 1], [2, 2]),
      [tf.Sub]: (x) => tf.sub(x, tf.sum(x, 0)),
      [tf.Sum]: (x) => tf.sum(x, 1),
    };
    for (const [kernelName, op] of Object.entries(ops)) {
      it(`that of ${kernelName} does`, async () => {
        const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
        const stock = tf.tidy(() => tf.grad(op as (x: tf.Tensor) => tf.Tensor)(x));
        const config = tf.getGradient(kernelName);
        let reads = 0;
        // What it has saved has no data here, so that a gradient function that read it would fail.
        const withoutData = tf.tidy(() => {
          const {gradFunc} = config;
          const blind: tf.GradFunc = (dy, saved, attrs) => {
            reads++;
            return gradFunc(dy, saved.map(engine.shapeOnly), attrs);
          };
          return withMethods(config, {gradFunc: blind}, () =>
            tf.grad(op as (x: tf.Tensor) => tf.Tensor)(x),
          );
        });
        expect(reads).to.be.at.least(1);
        expect(readsInput(kernelName, 'x', new Set(['x']), {})).to.equal(false);
        expect([...(await withoutData.data())]).to.deep.equal([...(await stock.data())]);
        tf.dispose([x, stock, withoutData]);
      });
    }
  });

  describe('the registry of kernels', () => {
    const config: tf.KernelConfig = {
      kernelName: 'OwLoreTest',
      backendName: 'cpu',
      kernelFunc: () => [],
    };

    it('has nothing under a name that is not registered', () => {
      expect(findKernel('OwLoreTest', 'cpu')).to.equal(undefined);
    });

    it('takes a kernel in the place of another one, and out again, without a warning', () => {
      const warnings = captureWarnings(() => {
        for (const each of [config, {...config}, undefined, undefined]) {
          replaceKernel('cpu', 'OwLoreTest', each);
          expect(findKernel('OwLoreTest', 'cpu')).to.equal(each);
        }
      });
      expect(warnings).to.deep.equal([]);
    });
  });

  describe('models', () => {
    it('a Sequential is trained by a model inside of it, a new one with each compile', () => {
      const model = sequential();
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      const inner = models.trainedModel(model);
      expect(inner).not.to.equal(model);
      expect(inner).to.be.instanceOf(tfl.LayersModel);
      expect(inner.layers).to.include.members(model.layers);
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      expect(models.trainedModel(model)).not.to.equal(inner);
      const functional = tfl.model({inputs: model.inputs, outputs: model.outputs});
      expect(models.trainedModel(functional)).to.equal(functional);
      model.dispose();
    });

    it('compile makes the list of weights that are trained, a new one each time', () => {
      const model = sequential();
      models.buildSequential(model);
      const trained = models.trainedModel(model);
      expect(models.collectedWeights(trained)).to.equal(null);
      model.getLayer('a').trainable = false;
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      const inner = models.trainedModel(model);
      const first = models.collectedWeights(inner)!;
      expect(first.map(({name}) => name.slice(0, 2))).to.deep.equal(['b/', 'b/']);
      inner.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      expect(models.collectedWeights(inner)).not.to.equal(first);
      expect(models.collectedWeights(inner)).to.deep.equal(first);
      model.dispose();
    });

    it('the first call of a Sequential that is not built turns its weights on, one that is built does not', () => {
      const [late, early] = [sequential(), sequential()];
      models.buildSequential(early);
      const on = [late, early].map((model) => {
        for (const weight of model.weights) models.variableOf(weight).trainable = false;
        tf.dispose(model.apply(tf.ones([1, 2])) as tf.Tensor);
        return model.weights.some((weight) => models.variableOf(weight).trainable);
      });
      expect(on).to.deep.equal([true, false]);
      late.dispose();
      early.dispose();
    });

    it('a weight has a tf.Variable of its name in it, whose flag it sets', () => {
      const model = sequential(1);
      for (const weight of model.weights) {
        const variable = models.variableOf(weight);
        expect(variable).to.equal(tf.engine().registeredVariables[weight.name]);
        weight.trainable = false;
        expect(variable.trainable).to.equal(false);
        weight.trainable = true;
        variable.trainable = false;
        expect(weight.trainable, 'not the other way round').to.equal(true);
      }
      model.dispose();
    });

    it('what has no tf.Variable in it is an error', () => {
      const weight = {name: 'a/kernel', read: () => tf.scalar(1)} as unknown as tfl.LayerVariable;
      tf.tidy(() => {
        expect(() => models.variableOf(weight)).to.throw(
          "the weight 'a/kernel' has no tf.Variable",
        );
      });
    });

    it('model.weights is sorted by the flags of the weights, not by those of their variables', () => {
      const model = sequential();
      const names = (): string[] => model.weights.map(({name}) => name[0]!);
      models.variableOf(model.weights[0]!).trainable = false;
      models.variableOf(model.weights[1]!).trainable = false;
      expect(names()).to.deep.equal(['a', 'a', 'b', 'b']);
      model.getLayer('a').trainable = false;
      expect(names()).to.deep.equal(['b', 'b', 'a', 'a']);
      model.dispose();
    });

    it('a training step hands on the weights that compile found, and reads their flags afresh', async () => {
      const model = sequential();
      const optimizer = tf.train.sgd(1);
      model.compile({optimizer, loss: 'meanSquaredError'});
      const seen: Array<[string[], string[]]> = [];
      const {applyGradients, minimize} = optimizer;
      let given: string[] = [];
      const [x, y] = [tf.ones([1, 2]), tf.ones([1, 2])];
      const putBack = replaceMethods<tf.Optimizer>(optimizer, {
        minimize(f, returnCost, variables) {
          given = variables!.map(({name}) => name[0]!);
          return minimize.call(optimizer, f, returnCost, variables);
        },
        applyGradients(gradients) {
          const named = gradients as Array<{name: string; tensor: tf.Tensor | null}>;
          seen.push([given, named.flatMap(({name, tensor}) => (tensor ? [name[0]!] : []))]);
          applyGradients.call(optimizer, gradients);
        },
      });
      await model.trainOnBatch(x, y);
      for (const weight of model.getLayer('a').weights) models.variableOf(weight).trainable = false;
      await model.trainOnBatch(x, y);
      putBack();
      const all = ['a', 'a', 'b', 'b'];
      expect(seen).to.deep.equal([[all, all], [all, ['b', 'b']]]); // prettier-ignore
      tf.dispose([x, y]);
      model.dispose();
    });

    it('layers are called by the apply of their prototype and do their work in call', () => {
      const model = sequential(3);
      const applied: string[] = [];
      const called: string[] = [];
      const y = models.interceptLayers(
        (layer, run, ...args) => {
          applied.push(layer.name);
          return run(...args);
        },
        () =>
          models.watchLayers(
            [model.getLayer('b')],
            (layer, inputs, outputs) => {
              called.push(layer.name);
              expect([inputs, outputs].flat().every((x) => x instanceof tf.Tensor)).to.equal(true);
            },
            () => tf.tidy(() => model.predictOnBatch(tf.ones([1, 2])) as tf.Tensor),
          ),
      );
      expect(applied.filter((name) => name.length === 1)).to.deep.equal(['a', 'b', 'c']);
      expect(called).to.deep.equal(['b']);
      y.dispose();
      model.dispose();
    });

    it('save reads all weights, by getNamedWeights, before it first waits', async () => {
      const model = sequential();
      const read = model.weights.map((weight) => tf.clone(weight.read()));
      model.weights.forEach((weight, i) => replaceMethods(weight, {read: () => read[i]!}));
      models.freeReadsOfSave(model);
      const saved = model.save(
        tf.io.withSaveHandler(async () => {
          expect(read.some(({isDisposed}) => isDisposed)).to.equal(false);
          return {modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}};
        }),
      );
      expect(Object.hasOwn(model, 'getNamedWeights')).to.equal(false);
      await saved;
      expect(read.every(({isDisposed}) => isDisposed)).to.equal(true);
      model.dispose();
    });

    it('a model has a node of its own, and one for each place that it has in another model', () => {
      const model = sequential();
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      (model.apply(tf.ones([1, 2])) as tf.Tensor).dispose();
      expect(models.usesOf(model)).to.equal(0);
      const input = tfl.input({shape: [2]});
      const around = tfl.model({inputs: input, outputs: model.apply(input) as tfl.SymbolicTensor});
      expect(models.usesOf(model)).to.equal(1);
      expect(models.usesOf(around)).to.equal(0);
      around.dispose(); // with the model in it
    });
  });

  describe('fit', () => {
    let model: tfl.Sequential;
    beforeEach(() => {
      model = sequential();
      model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
    });
    afterEach(() => model.dispose());

    class Listener extends tfl.Callback {
      readonly calls: string[] = [];
      ended = 0;
      given: unknown;

      constructor(private readonly failing = '') {
        super();
        for (const hook of fit.fitHooks) {
          this[hook] = async () => {
            this.calls.push(hook);
            if (hook === 'onTrainBegin') {
              this.given = this.model;
              fit.whenFitEnds(this.model, () => this.ended++);
            }
            if (hook === this.failing) throw new Error(`in ${hook}`);
          };
        }
      }
    }

    it('calls the hooks of a callback, after it gave it the model that is trained', async () => {
      const listener = new Listener();
      await train(model, [listener], 2);
      const batch = ['onBatchBegin', 'onBatchEnd'];
      expect(listener.calls).to.deep.equal([
        ...['onTrainBegin', 'onEpochBegin', ...batch, ...batch, 'onEpochEnd', 'onTrainEnd'],
      ]);
      expect(listener.given).to.equal(models.trainedModel(model));
    });

    it('calls what is registered before the callbacks that it is given', async () => {
      fit.watchFits();
      const listener = new Listener();
      class Registering extends tfl.Callback {
        override async onTrainBegin(): Promise<void> {
          fit.beforeEachBatch(this, async () => void listener.calls.push('before'));
        }
      }
      await train(model, [listener, new Registering()], 2);
      const batch = ['before', 'onBatchBegin', 'onBatchEnd'];
      expect(listener.calls).to.deep.equal([
        ...['onTrainBegin', 'onEpochBegin', ...batch, ...batch, 'onEpochEnd', 'onTrainEnd'],
      ]);
    });

    it('says its end by isTraining alone, also where it throws, and calls no onTrainEnd then', async () => {
      const {numTensors} = tf.memory();
      for (const failing of ['', ...fit.fitHooks]) {
        const listener = new Listener(failing);
        const fitting = train(model, [listener]);
        if (failing === '') await fitting;
        else expect((await rejection(fitting)).message).to.equal(`in ${failing}`);
        expect(listener.ended, failing).to.equal(1);
        const hasEnd = ['', 'onTrainEnd'].includes(failing);
        expect(listener.calls.includes('onTrainEnd'), failing).to.equal(hasEnd);
        expect(Object.getOwnPropertyDescriptor(listener.given, 'isTraining')).to.deep.equal({
          ...{value: false, writable: true, configurable: true, enumerable: true},
        });
      }
      // tfjs leaves some where a hook throws; what they are is not ours to say.
      expect(tf.memory().numTensors).to.be.at.least(numTensors);
    });

    it('fitDataset says its end so, too', async () => {
      for (const failing of ['', 'onBatchBegin']) {
        const listener = new Listener(failing);
        const batches = async (): Promise<AsyncIterator<unknown>> => {
          let left = 2;
          const next = async (): Promise<unknown> =>
            left-- > 0
              ? {done: false, value: {xs: tf.ones([1, 2]), ys: tf.ones([1, 2])}}
              : {done: true, value: null};
          return {next} as AsyncIterator<unknown>;
        };
        const dataset = {size: 2, iterator: batches} as never;
        const fitting = model.fitDataset(dataset, {epochs: 1, verbose: 0, callbacks: [listener]});
        if (failing === '') await fitting;
        else await rejection(fitting);
        expect(listener.ended, failing).to.equal(1);
      }
    });

    it('gives the callbacks of one fit one object of parameters, which tells the batches', async () => {
      const [a, b, c] = [new Listener(), new Listener(), new Listener()];
      expect(fit.batchesOfFit(a, 0)).to.equal(null);
      await train(model, [a, b], 5, {batchSize: 2, epochs: 3});
      await train(model, [c], 1, {epochs: 3, initialEpoch: 1});
      expect([fit.areInSameFit(a, b), fit.areInSameFit(a, c)]).to.deep.equal([true, false]);
      expect([fit.batchesOfFit(a, 0), fit.batchesOfFit(c, 1)]).to.deep.equal([9, 2]);
    });

    it('calls the functions of a plain object on a receiver of its own', async () => {
      const receivers: unknown[] = [];
      class Looking extends tfl.Callback {
        constructor() {
          super();
          this.onTrainBegin = async function (this: unknown) {
            receivers.push(this);
          };
        }
      }
      const looking = new Looking();
      await train(model, [looking]);
      await train(model, [{onTrainBegin: looking.onTrainBegin}]);
      expect(receivers[0]).to.equal(looking);
      expect(receivers.map(fit.isPlainObjectsReceiver)).to.deep.equal([false, true]);
    });

    it('pauses by itself without callbacks, and a CustomCallback of nothing does what it does', async () => {
      const pauses = fit.yieldingCallback();
      let frames = 0;
      pauses.nextFrameFunc = async () => {
        frames++;
      };
      await pauses.onBatchEnd(0, {});
      expect(frames, 'at once').to.equal(0);
      await new Promise((resolve) => setTimeout(resolve, 130));
      for (let batch = 1; batch < 3; batch++) await pauses.onBatchEnd(batch, {});
      expect(frames, 'after 125 ms').to.equal(1);
    });

    it('makes an instance of each registered constructor, whatever verbose is, and waits for it', async () => {
      const calls: string[] = [];
      let isOver = false;
      const listening = (call: string) => async (trained: tfl.LayersModel) => {
        if (isOver) return; // it cannot be taken out again
        expect(trained.optimizer).to.equal(model.optimizer);
        await new Promise((resolve) => setTimeout(resolve));
        calls.push(call);
      };
      fit.aroundEachFit(listening('registered, begin'), listening('registered, end'));
      const listener = new tfl.CustomCallback({
        onTrainBegin: () => void calls.push('given, begin'),
        onTrainEnd: () => void calls.push('given, end'),
      });
      await train(model, [listener]);
      isOver = true;
      expect(calls).to.deep.equal([
        ...['registered, begin', 'given, begin'],
        ...['registered, end', 'given, end'],
      ]);
    });
  });

  describe('optimizers', () => {
    // Made in the tests, because some of them need a backend.
    const all: Readonly<Record<string, () => tf.Optimizer>> = {
      adadelta: () => tf.train.adadelta(),
      adagrad: () => tf.train.adagrad(0.1),
      adam: () => tf.train.adam(),
      adamax: () => tf.train.adamax(),
      momentum: () => tf.train.momentum(0.1, 0.9),
      rmsprop: () => tf.train.rmsprop(0.1),
      sgd: () => tf.train.sgd(0.1),
    };

    for (const [name, create] of Object.entries(all)) {
      it(`${name} counts its calls by iterations, and has a learning rate to read`, () => {
        const optimizer = create();
        expect(optimizers.isTfjsOptimizer(optimizer)).to.equal(true);
        expect(optimizers.learningRateOf(optimizer)).to.be.a('number');
        const w = tf.variable(tf.scalar(1));
        const before = optimizer.iterations;
        optimizer.minimize(() => tf.square(w), false, [w]);
        expect(optimizer.iterations).to.equal(before + 1);
        optimizer.dispose();
        w.dispose();
      });
    }

    it('instanceof takes any of them for any class; the prototype tells them apart', () => {
      const foreign = {
        minimize: () => null,
        computeGradients: () => null,
        applyGradients: () => null,
      };
      expect(foreign instanceof tf.AdamOptimizer).to.equal(true);
      expect(optimizers.isOptimizer(foreign)).to.equal(false);
      expect(optimizers.isOptimizer(tf.train.sgd(1))).to.equal(true);
    });
  });

  describe('the configuration in a saved model', () => {
    class Configured extends tf.SGDOptimizer {
      static override get className(): string {
        return 'AssumptionsConfigured';
      }
      constructor(readonly config: Record<string, unknown> = {}) {
        super(0.1);
      }
      override getConfig(): tf.serialization.ConfigDict {
        return {plain: 'a_b', safe: toSavedText('a_b/c_d'), list: [toSavedText('e_f')]};
      }
      static override fromConfig<T extends tf.serialization.Serializable>(
        cls: tf.serialization.SerializableConstructor<T>,
        config: tf.serialization.ConfigDict,
      ): T {
        return new cls(config);
      }
    }
    tf.serialization.registerClass(Configured);

    it('loses its underscores and gains a key, but for what is saved without them', async () => {
      const model = sequential(1);
      model.compile({optimizer: new Configured(), loss: 'meanSquaredError'});
      let saved!: tf.io.ModelArtifacts;
      const handler = tf.io.withSaveHandler(async (artifacts) => {
        saved = artifacts;
        return {modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}};
      });
      await model.save(handler, {includeOptimizer: true});
      const loaded = await tfl.loadLayersModel(tf.io.fromMemory(saved));
      const {config} = loaded.optimizer as unknown as Configured;
      expect(config).to.have.property('customObjects');
      const options = asSaved(config);
      expect(options).to.have.keys(['plain', 'safe', 'list']);
      expect(options['plain']).to.equal('aB');
      expect(fromSavedText(options['safe'] as string)).to.equal('a_b/c_d');
      expect((options['list'] as string[]).map(fromSavedText)).to.deep.equal(['e_f']);
      model.dispose();
      loaded.dispose();
    });
  });
});
