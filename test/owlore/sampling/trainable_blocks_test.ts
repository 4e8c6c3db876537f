import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {installKernels, uninstallKernels} from '../../../src/kernels/cpu';
import {resolveBlocks} from '../../../src/model/blocks';
import {TrainableBlocks} from '../../../src/owlore/sampling/trainable_blocks';
import {keepPacked, packedWeight, packHalves} from '../../../src/model/packed_weight';
import {trainedModel, variableOf, weightsToTrain} from '../../../src/tfjs/models';

type AlwaysOn = ConstructorParameters<typeof TrainableBlocks>[4];

/** Three layers of a kernel and a bias each. */
function createModel(frozen: string[] = []): tfl.LayersModel {
  const input = tfl.input({shape: [2]});
  let output = input;
  for (const name of ['a', 'b', 'head']) {
    output = tfl.layers.dense({name, units: 2}).apply(output) as tfl.SymbolicTensor;
  }
  const model = tfl.model({inputs: input, outputs: output});
  for (const name of frozen) model.getLayer(name).trainable = false;
  model.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
  return model;
}

function blocksOf(model: tfl.LayersModel, alwaysOn: AlwaysOn = 'auto'): TrainableBlocks {
  const trained = trainedModel(model);
  const blocks = resolveBlocks(model, ['a', 'b']);
  return new TrainableBlocks('test', trained, weightsToTrain(trained), blocks, alwaysOn);
}

/** Names of the layers, or of the single weights of them, that are on. */
function on(model: tfl.LayersModel): string[] {
  return model.layers.flatMap(({name, weights}) => {
    const flags = weights.filter((weight) => variableOf(weight).trainable);
    if (flags.length > 0 && flags.length === weights.length) return [name];
    return flags.map(({originalName}) => originalName);
  });
}

function namesOf(model: tfl.LayersModel, layers: string[]): string[] {
  return layers.flatMap((name) => model.getLayer(name).weights.map((weight) => weight.name));
}

describe('TrainableBlocks', () => {
  let model: tfl.LayersModel;
  afterEach(() => {
    model.dispose();
    uninstallKernels();
  });

  it('turns blocks on and the others off, and back', () => {
    model = createModel();
    const blocks = blocksOf(model);
    expect(blocks.names).to.deep.equal(['a', 'b']);
    expect(blocks.weights).to.have.members(model.weights);
    expect(blocks.hasAlwaysOn).to.equal(true);
    expect([...blocks.blockVariables]).to.have.members(namesOf(model, ['a', 'b']));
    expect(blocks.frozenVariables.size).to.equal(0);
    for (const [active, off] of [
      [['b'], ['a']],
      [['a'], ['b']],
      [[], ['a', 'b']],
      [['a', 'b'], []],
      [['a'], ['b']],
    ]) {
      blocks.turnOn(active!);
      expect(on(model)).to.deep.equal([...active!, 'head']);
      expect([...blocks.frozenVariables]).to.have.members(namesOf(model, off!));
    }
    blocks.restore();
    expect(on(model)).to.deep.equal(['a', 'b', 'head']);
    expect(blocks.frozenVariables.size).to.equal(0);
    for (const {trainable} of model.weights) expect(trainable).to.equal(true);
  });

  it('never turns on what the user froze', () => {
    model = createModel(['b']);
    variableOf(model.getLayer('a').weights[1]!).trainable = false;
    const blocks = blocksOf(model);
    expect(blocks.names).to.deep.equal(['a']);
    const [kernel] = namesOf(model, ['a']);
    expect([...blocks.blockVariables]).to.deep.equal([kernel]);
    blocks.turnOn(['a', 'b']);
    expect(on(model)).to.deep.equal(['a/kernel', 'head']);
    expect(blocks.frozenVariables.size).to.equal(0);
    blocks.turnOn([]);
    expect([...blocks.frozenVariables]).to.deep.equal([kernel]);
    blocks.restore();
    expect(on(model)).to.deep.equal(['a/kernel', 'head']);
  });

  it('keeps on what is in no block, nothing, or what a selector picks, of what trains', () => {
    model = createModel(['b']);
    for (const [alwaysOn, expected] of [
      ['auto', ['head']],
      [['a'], ['a']],
      [['b', 'head'], ['head']],
      [/kernel/, ['a/kernel', 'head/kernel']],
      [({shape}) => shape.length === 1, ['a/bias', 'head/bias']],
    ] as Array<[AlwaysOn, string[]]>) {
      const blocks = blocksOf(model, alwaysOn);
      expect(blocks.hasAlwaysOn).to.equal(true);
      blocks.turnOn([]);
      expect(on(model)).to.deep.equal(expected);
      blocks.restore();
    }
    for (const alwaysOn of [false, () => false, ['b']] as const) {
      const blocks = blocksOf(model, alwaysOn);
      expect(blocks.hasAlwaysOn).to.equal(false);
      for (const active of [[], ['b']]) {
        expect(() => blocks.turnOn(active)).to.throw(
          `test: nothing is left to train: no weight of the chosen blocks [${active.join(', ')}] is trainable`,
        );
        expect(on(model), 'nothing is changed').to.deep.equal(['a', 'head']);
        expect(blocks.frozenVariables.size).to.equal(0);
      }
      blocks.turnOn(['a']);
      expect(on(model)).to.deep.equal(['a']);
      blocks.restore();
    }
  });

  it('refuses names of no weight, and a model of which nothing trains', () => {
    model = createModel();
    const all = namesOf(model, ['a', 'b', 'head']).join(', ');
    for (const [alwaysOn, missing] of [
      [['head', 'haed', 'x'], `'haed', 'x'`],
      [/haed/, '/haed/'],
    ] as const) {
      expect(() => blocksOf(model, alwaysOn)).to.throw(
        `test: alwaysOn has ${missing}, but no weight or layer of the model is called that. Weights: ${all}`,
      );
    }
    for (const weight of model.weights) variableOf(weight).trainable = false;
    expect(() => blocksOf(model)).to.throw(
      'test: no weight of the model is trainable: tfjs trains',
    );
  });

  it('tells whether the model was compiled, or a weight frozen or unfrozen, since', () => {
    model = createModel();
    let blocks = blocksOf(model);
    expect(blocks.isOutdated).to.equal(false);
    blocks.turnOn(['a']);
    expect(blocks.isOutdated, 'its own changes aside').to.equal(false);
    model.getLayer('a').trainable = false;
    expect(blocks.isOutdated).to.equal(true);
    model.getLayer('a').trainable = true;
    expect(blocks.isOutdated).to.equal(false);
    blocks.restore();
    const optimizer = tf.train.sgd(0.1);
    model.compile({optimizer, loss: 'meanSquaredError'});
    expect(blocks.isOutdated).to.equal(true);
    blocks = blocksOf(model);
    expect(blocks.isOutdated).to.equal(false);
    model.compile({optimizer, loss: 'meanSquaredError'});
    expect(blocks.isOutdated).to.equal(true);
  });

  it('leaves what the user has frozen or unfrozen since as the user has made it', () => {
    model = createModel();
    const blocks = blocksOf(model);
    blocks.turnOn(['a']);
    model.getLayer('a').trainable = false;
    model.getLayer('head').trainable = false;
    blocks.restore();
    expect(on(model)).to.deep.equal(['b']);
  });

  it('packs the weights that are off and unpacks those that are on, with a seed for each', async () => {
    model = createModel();
    await installKernels();
    for (const name of ['a', 'b']) {
      for (const weight of model.getLayer(name).weights) {
        keepPacked(weight, packHalves(new Uint16Array(variableOf(weight).size)));
      }
    }
    const blocks = blocksOf(model);
    const packed = (): string[] =>
      model.layers.flatMap(({name, weights}) =>
        weights.some((weight) => packedWeight(weight)?.isPacked) ? [name] : [],
      );
    expect(packed()).to.deep.equal(['a', 'b']);
    for (const active of [['a'], ['b'], ['a', 'b'], []]) {
      blocks.turnOn(active);
      let seeds = 0;
      blocks.store(() => seeds++);
      expect(packed()).to.deep.equal(['a', 'b'].filter((name) => !active.includes(name)));
      expect(seeds).to.equal(4);
    }
    // what stays on is not rounded
    const [kernel] = model.getLayer('a').weights.map(variableOf) as [tf.Variable];
    for (let period = 0; period < 2; period++) {
      blocks.turnOn(['a']);
      blocks.store(() => 1);
      if (period === 0) tf.tidy(() => kernel.assign(tf.fill(kernel.shape, 1 / 3)));
    }
    expect([...(await kernel.data())]).to.deep.equal(new Array(4).fill(Math.fround(1 / 3)));
  });
});
