import {readFileSync} from 'node:fs';
import {totalmem} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {
  estimateMemory,
  largestTensor,
  type MemoryEstimate,
} from '../../src/memory/estimate/estimate';
import {estimateOptionsOf, type EstimatedSettings} from '../../src/memory/estimated_settings';
import {flagsOf} from '../../src/cli/memory_check';
import {nextTurn} from '../../src/common/next_turn';
import {MemoryFit} from '../../src/memory/memory_fit';
import {leastMemoryFor, memoryFor, memoryLimit} from '../../src/memory/limit';
import {readConfigJson} from '../../src/llama/files/config_json';
import {createModelFolder, type ModelFolder} from './model_folder';
import {flagOf} from '../../src/cli/options';
import {runCli} from './run_cli';
import {itAtLength} from '../support/backends';

/** `config.json` of SmolLM2-135M. */
const smolLM2 = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  vocab_size: 49152,
  max_position_embeddings: 8192,
  tie_word_embeddings: true,
};

interface Result {
  options: object;
  bytes: MemoryEstimate;
  needed: number;
  limit: number;
  fits: boolean;
  largest: object;
  proposals: Array<{options: object; needed: number}>;
}

describe('tfjs-owlore estimate', function () {
  // a budget takes a dozen estimates
  this.timeout(120_000);
  let folder: ModelFolder;
  let config: string;

  before(async () => {
    folder = await createModelFolder();
    config = folder.write('smollm2.json', JSON.stringify(smolLM2));
  });
  after(() => folder.remove());

  async function estimated(...args: string[]): Promise<Result> {
    const {code, stdout, stderr} = await runCli(['estimate', '--json', ...args]);
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout) as Result;
  }

  it('says what a run takes and what fits, of a folder or a config.json', async () => {
    const own = ['--gamma', '2', '--rank', '4', '--batch-size', '3', '--max-length', '32'];
    const {code, stdout} = await runCli(['estimate', '--model', folder.model, ...own]);
    expect(code).to.equal(0);
    expect(stdout).to.match(/OwLore of .* on tensorflow: γ 2, rank 4, batches of 3 × 32 tokens/);
    expect(stdout).to.match(/│ weights +│ +\d+ kB │/);
    expect(stdout).to.match(/The process takes some \d+ MB\./);
    const {bytes} = await estimated('--model', join(folder.model, 'config.json'), ...own);
    const json = JSON.parse(readFileSync(join(folder.model, 'config.json'), 'utf8')) as object;
    const given = {gamma: 2, rank: 4, batchSize: 3, maxLength: 32};
    const same = estimateMemory(json, {...given, headInLoss: true});
    expect(bytes).to.deep.equal(same);
  });

  itAtLength('answers what fits into a budget', async () => {
    const shape = ['--model', config, '--batch-size', '4', '--max-length', '128'];
    const enough = await estimated(...shape, '--budget', '4GB');
    expect(enough).to.include({fits: true, limit: 4e9});
    expect(enough.proposals).to.deep.equal([]);
    expect(enough.largest).to.include({gamma: 30, rank: 512});
    const between = await estimated(...shape, '--budget', '4GB', '--rank', '520');
    expect(between.largest).to.include({rank: 520});
    const little = await estimated(...shape, '--budget', '1.5 GB', '--embedding', 'frozen');
    expect(little).to.include({fits: true});
    const nothing = await estimated(...shape, '--method', 'full', '--budget', '500MB');
    expect(nothing).to.deep.include({fits: false, proposals: []});
  });

  itAtLength('proposes what makes it fit, and that fits', async () => {
    const given = ['--model', config, '--budget', '2GB'];
    const {fits, proposals} = await estimated(...given);
    expect(fits).to.equal(false);
    expect(proposals.map(({options}) => options)).to.deep.equal([
      {embedding: 'frozen', frozenDtype: 'BF16'},
      {maxLength: 128},
      {batchSize: 4},
    ]);
    const tight = await estimated(...given.slice(0, -1), '1.5GB');
    expect(tight.proposals.map(({options}) => options)).to.deep.equal([
      {embedding: 'frozen', frozenDtype: 'BF16', maxLength: 256},
    ]);
    for (const {options, needed} of [...proposals, ...tight.proposals]) {
      const flags = flagsOf(options).split(' ');
      const changed = Object.keys(options).map(flagOf);
      const others = given.filter((_, i) => !changed.includes(given[i - (i % 2)]!));
      const again = await estimated(...others, ...flags);
      expect(again).to.deep.include({fits: true, needed, proposals: []});
    }
    const {stdout} = await runCli(['estimate', ...given]);
    expect(stdout).to.include('Each of these would, with all else as above:\n');
    expect(stdout).to.match(/│ --max-length 128 +│ +1\.\d\d GB │/);
    const least = (await runCli(['estimate', ...given.slice(0, -1), '500MB'])).stdout;
    expect(least).to.match(
      /does not fit into the budget of 500 MB\. The least is 1\.\d\d GB, by --/,
    );
  });

  it('takes a budget from a config file, as a size or in bytes', async () => {
    for (const budget of ['1.5GB', 1.5e9]) {
      const file = folder.write('options.json', JSON.stringify({model: folder.model, budget}));
      expect((await estimated('--config', file)).limit).to.equal(1.5e9);
    }
    for (const budget of ['lots', '4', -1, true]) {
      const file = folder.write('options.json', JSON.stringify({model: folder.model, budget}));
      const {code, stderr} = await runCli(['estimate', '--config', file]);
      const message = `budget must be a size with its unit, such as 4GB, 800MB or 4GiB; got ${budget}`;
      expect([code, stderr]).to.deep.equal([2, `error: ${file}: ${message}\n`]);
    }
  });

  it('has the rank in its heading wherever one counts', async () => {
    const heading = async (...args: string[]): Promise<string> =>
      (await runCli(['estimate', '--model', folder.model, ...args])).stdout.split('\n')[0]!;
    const lowRank = ['--method', 'lisa', '--embedding', 'low-rank', '--rank', '4'];
    expect(await heading(...lowRank)).to.match(/: γ 2, rank 4, batches of/);
    expect(await heading('--method', 'lisa')).to.match(/: γ 2, batches of/);
  });

  itAtLength("does not count on more than wasm's largest heap, whatever the budget", async () => {
    const shape = ['--model', config, '--backend', 'wasm', '--max-length', '512'];
    const {needed, ...answer} = await estimated(...shape, '--batch-size', '64', '--budget', '20GB');
    expect(needed).to.be.within(2 ** 32, 20e9);
    expect(answer).to.include({limit: 2 ** 32, fits: false});
    const {limit} = await estimated(...shape, '--budget', '2GB');
    expect(limit).to.equal(2e9);
  });

  it("has the paper's setting", async () => {
    const {bytes, needed} = await estimated('--model', config, '--engine', 'torch');
    expect(bytes).to.deep.equal(estimateMemory(smolLM2, {engine: 'torch'}));
    expect(needed).to.equal(undefined);
  });

  for (const [args, message] of [
    [
      ['--budget', 'lots'],
      'estimate: --budget must be a size with its unit, such as 4GB, 800MB or 4GiB; got lots',
    ],
    [
      ['--budget', '4'],
      'estimate: --budget must be a size with its unit, such as 4GB, 800MB or 4GiB; got 4',
    ],
    [
      ['--budget', '-1GB'],
      'estimate: --budget must be a size with its unit, such as 4GB, 800MB or 4GiB; got -1GB',
    ],
    [['--gamma', '31'], 'estimate: --gamma must be a number > 0 and <= 30; got 31'],
    [['--method', 'full', '--gamma', '2'], '--gamma has no meaning with --method full'],
    [['--method', 'full', '--update', 'fira'], '--update has no meaning with --method full'],
    [['--targets', 'q_proj'], '--targets has no meaning with --method owlore'],
    [['--method', 'lora', '--rank', '512'], 'rank must be at most the dimensions of each matrix'],
    [['--method', 'lora', '--targets', 'c_attn'], "'c_attn', which matches no matrix of the model"],
    [['--engine', 'torch', '--backend', 'wasm'], '--backend has no meaning with --engine torch'],
    [
      ['--engine', 'torch', '--gradient-checkpointing', 'none'],
      '--gradient-checkpointing has no meaning with --engine torch',
    ],
    [
      ['--engine', 'torch', '--frozen-dtype', 'BF16'],
      '--frozen-dtype has no meaning with --engine torch',
    ],
  ] as const) {
    it(`refuses ${args.join(' ')}`, async () => {
      const {code, stderr} = await runCli(['estimate', '--model', config, ...args]);
      expect(code).to.equal(2);
      expect(stderr).to.include(message);
    });
  }

  it('names the key of a config that it cannot read', async () => {
    const path = folder.write('wrong.json', JSON.stringify({...smolLM2, num_attention_heads: 0}));
    const {code, stderr} = await runCli(['estimate', '--model', path]);
    expect(code).to.equal(2);
    expect(stderr).to.include('num_attention_heads must be');
  });
});

describe('MemoryFit', function () {
  this.timeout(120_000);
  const described = readConfigJson('test', smolLM2);

  function fitOf(
    tensors: number,
    given: Partial<EstimatedSettings> = {},
  ): MemoryFit<EstimatedSettings> {
    const settings: EstimatedSettings = {
      ...{method: 'owlore', gamma: 5, rank: 128, batchSize: 16, maxLength: 512},
      ...{
        backend: 'tensorflow',
        gradientCheckpointing: 'auto',
        embedding: 'frozen',
        frozenDtype: 'F32',
      },
      ...{accumulate: 1, update: 'galore', basis: 'randomized'},
      ...{targets: 'all-linear', loraDropout: 0},
    };
    return new MemoryFit({
      ...{config: smolLM2, described, settings: {...settings, ...given}},
      optionsOf: (changed) => estimateOptionsOf(changed, described),
      loraRank: 8,
      meaningless: ({method}): Record<string, string> =>
        method === 'lora' ? {gamma: '', embedding: ''} : {},
      fits: (bytes) => bytes <= tensors,
      nextTurn: async () => undefined,
    });
  }

  function taken(options: object): number {
    const {total} = estimateMemory(smolLM2, {
      ...{gamma: 5, rank: 128, batchSize: 16, maxLength: 512, embedding: 'frozen'},
      ...{headInLoss: true, ...options},
    });
    return total;
  }

  itAtLength('finds the largest that fits', async () => {
    const room = 1.2e9;
    const fit = fitOf(room, {batchSize: 4});
    expect(await fit.fitsAsGiven()).to.equal(true);
    const {gamma, rank, batchSize} = await fit.largest();
    // all blocks, and the largest rank that training takes
    expect({gamma, rank}).to.deep.equal({gamma: 30, rank: 512});
    expect(taken({batchSize: 4, rank: rank!})).to.be.at.most(room);
    expect(taken({batchSize: 4, gamma: gamma!})).to.be.at.most(room);
    expect(taken({batchSize})).to.be.at.most(room);
    expect(taken({batchSize: batchSize! + 1})).to.be.greaterThan(room);
    for (const [largest, next] of [
      [{gamma: 12}, {gamma: 13}],
      [{rank: 64}, {rank: 128}],
      [{batchSize: 4}, {batchSize: 5}],
    ]) {
      const just = taken({batchSize: 4, ...largest});
      expect(taken({batchSize: 4, ...next})).to.be.greaterThan(just);
      expect(await fitOf(just, {batchSize: 4}).largest()).to.include(largest);
    }
  });

  itAtLength('asks about no rank that training refuses', async () => {
    const rankOf = async (given: Partial<EstimatedSettings>) =>
      (await fitOf(Infinity, given).largest()).rank;
    expect(await rankOf({})).to.equal(512);
    // keys have 192 numbers a token
    expect(await rankOf({method: 'lora', rank: 8})).to.equal(128);
    expect(await rankOf({method: 'lora', rank: 8, targets: 'q_proj'})).to.equal(512);
    expect(await rankOf({embedding: 'low-rank'})).to.equal(512);
  });

  it('names no largest rank where a rank projects nothing', async () => {
    expect(await fitOf(Infinity, {rank: 600}).largest()).to.have.all.keys('gamma', 'batchSize');
  });

  it('proposes one change of each kind that is enough, the largest of its kind', async () => {
    const proposals = await fitOf(1e9).proposals();
    const changes = proposals.map(({change}) => change);
    expect(changes).to.deep.include({batchSize: 8});
    expect(changes).to.deep.include({maxLength: 256});
    for (const {change, tensors} of proposals)
      if (change.method === undefined) expect(tensors).to.equal(taken(change));
    expect(taken({batchSize: 8})).to.be.at.most(1e9);
    expect(taken({batchSize: 9})).to.be.greaterThan(1e9);
    const all = {embedding: 'full', frozenDtype: 'F32', batchSize: 1} as const;
    const room = taken({...all, gamma: 3});
    const small = (await fitOf(room, all).proposals()).map(({change}) => change);
    expect(small.slice(0, 3)).to.deep.equal([
      {embedding: 'low-rank'},
      {frozenDtype: 'BF16'},
      {method: 'lora', rank: 8},
    ]);
    expect(small).to.deep.include({gamma: 3});
  });

  itAtLength('proposes several changes together where none is enough', async () => {
    const room = taken({frozenDtype: 'BF16', maxLength: 128, gamma: 1, rank: 1, batchSize: 2});
    const [proposal, ...others] = await fitOf(room).proposals();
    expect(others).to.deep.equal([]);
    const {change, tensors} = proposal!;
    expect(change).to.include({
      frozenDtype: 'BF16',
      maxLength: 128,
      gamma: 1,
      rank: 1,
      batchSize: 2,
    });
    expect(tensors).to.equal(room);
    expect(await fitOf(100e6).proposals()).to.deep.equal([]);
    const smallest = await fitOf(100e6).smallest();
    expect(smallest.tensors).to.be.at.most(taken({...change, batchSize: 1}));
    expect(flagsOf(smallest.change)).to.match(/^--.* --max-length 128 .*--batch-size 1$/);
  });
});

describe('a search for what fits', () => {
  it('leaves the event loop its turns, in which a signal ends the process', async () => {
    const options = {rank: 8, batchSize: 4, maxLength: 512};
    const fit = new MemoryFit({
      ...{config: smolLM2, described: readConfigJson('test', smolLM2)},
      settings: {method: 'owlore', ...options} as EstimatedSettings,
      optionsOf: () => options,
      loraRank: 8,
      meaningless: () => ({}),
      fits: () => true,
      nextTurn,
    });
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await fit.largest();
    clearInterval(timer);
    expect(turns).to.be.greaterThan(1);
  });
});

describe('largestTensor', () => {
  it('is the embedding, packed where a method does not train it', () => {
    const given = {batchSize: 1, maxLength: 8, headInLoss: true};
    const embedding = 49152 * 576;
    expect(largestTensor(smolLM2, given)).to.equal(4 * embedding);
    expect(largestTensor(smolLM2, {...given, frozenDtype: 'BF16'})).to.equal(4 * embedding);
    for (const options of [{embedding: 'frozen'}, {method: 'badam'}, {method: 'lora'}] as const)
      expect(largestTensor(smolLM2, {...given, frozenDtype: 'BF16', ...options})).to.equal(
        2 * embedding,
      );
  });
});

describe('memoryLimit', () => {
  it("is wasm's heap, and elsewhere not more than the machine has", () => {
    expect(memoryLimit('wasm')!.bytes).to.equal(2 ** 32);
    expect(memoryLimit('tensorflow')!.bytes).to.be.within(1e8, totalmem());
    expect(memoryLimit('webgpu')).to.equal(null);
  });

  it('needs least what it cannot do without', () => {
    for (const backend of ['tensorflow', 'wasm', 'cpu'] as const) {
      for (const tensors of [1e6, 1e9])
        expect(leastMemoryFor(backend, tensors)).to.be.below(memoryFor(backend, tensors));
    }
  });
});
