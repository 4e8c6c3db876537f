/** The plan of the comparison, its files of results and its page, with runs that are made up. */
import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {parseHTML} from 'linkedom';
import {cellName, trainingName, type Cell} from '../../bench/compare/cells';
import {changeBetween} from '../../bench/compare/measure';
import {writeComparison} from '../../bench/compare/page';
import {planOf, stagesOf} from '../../bench/compare/plan';
import {
  fileOf,
  FORMAT,
  openResults,
  readResults,
  writeCell,
  type CellRecord,
  type Measured,
  type Protocol,
  type Results,
} from '../../bench/compare/records';
import {prepare} from '../../bench/compare/prepare';
import {optionsOf} from '../../bench/compare/run_cell';
import {settingOf, settings} from '../../bench/compare/settings';
import {smollm2} from '../../bench/compare/settings/smollm2';
import {summaryOf} from '../../bench/compare/summary';
import {numberIn} from '../../src/llama/evaluation/gsm8k';
import type {PaperMethodName} from '../../src/methods';
import {drawLossAndMemory} from '../../bench/tables/compare_picture';
import type {MethodTimes} from '../../bench/compare/times';
import {compareTables, timesTables} from '../../bench/tables/compare_tables';
import {finetuneOptions, meaningless, type FinetuneSettings} from '../../src/cli/finetune_options';
import type {OptionDescription} from '../../src/cli/options';

const protocol: Protocol = {
  ...{format: FORMAT, setting: 'smollm2', package: '0.1.0', tfjs: '4.22.0', backend: 'tensorflow'},
  ...{training: smollm2.training, methodOptions: {}, evaluation: {}, hashes: {}, examples: {}},
};

/** A record of a cell, with a held-out loss that is made up. */
function record(cell: Cell, loss: number): CellRecord {
  const training: Measured['training'] = {
    steps: {
      loss: [2, 1],
      learningRate: [1, 0],
      seconds: [4, 4],
      peakBytes: [9e8, 9e8],
      on: [[0], [1]],
    },
    curve: [{step: 0, loss: 2}],
    ...{peakBytes: 9e8, stateBytes: 2e8, weightBytes: 5e8, residentBytes: 2e9, processes: 1},
    ...{changed: {share: 0.5, norm: 0.01}, scores: null},
  };
  return {
    ...{machine: 'm', node: 'v20', commit: 'c', date: '2026-01-31', load: 0},
    cell,
    measured: {
      ...{heldOut: {loss, tokens: 9}, neutral: {loss: 3, tokens: 9}},
      ...(cell.options['method'] !== undefined && {training}),
    },
  };
}

async function messageOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'nothing was thrown';
  } catch (error) {
    return (error as Error).message;
  }
}

/** Runs the plan to its end; the loss of a cell is made up. */
function finished(lossOf: (cell: Cell) => number): Results {
  const cells = new Map<string, CellRecord>();
  for (;;) {
    const next = planOf(smollm2, cells).cells;
    if (next.length === 0) return {protocol, cells};
    const names = next.map(({cell}) => cellName(cell));
    if (new Set(names).size < names.length || names.some((name) => cells.has(name)))
      throw new Error(`a cell comes twice: ${names.join(', ')}`);
    for (const {cell} of next) cells.set(cellName(cell), record(cell, lossOf(cell)));
  }
}

/** Best at the second rate that a setting names for a method; OwLore is better than all others by 0.01 and a seed's noise, but for a frozen embedding. */
function madeUp({options: {method, learningRate, seed, scores, embedding}}: Cell): number {
  if (method === undefined) return 1.5;
  const [, best] = smollm2.rates[(method === 'lisa-d' ? 'lisa' : method) as 'lisa']!;
  const miss = Math.abs(Math.log10(Number(learningRate) / best!));
  const noise = 0.001 * Number(seed);
  const frozen = embedding === 'frozen' ? 0.05 : 0;
  return (
    0.9 + frozen + miss + (method === 'owlore' && scores === 'outlier' ? -0.01 - noise : noise)
  );
}

describe('bench/compare: the plan', () => {
  it('begins with the model as it is and the rates of each method, on one seed and other examples than the tables', () => {
    const {cells, waiting} = planOf(smollm2, new Map());
    const rates = cells.filter(({stage}) => stage === 'rates');
    expect(rates[0]!.cell.options).to.deep.equal({});
    expect(rates).to.have.length(1 + Object.values(smollm2.rates).flat().length);
    for (const {cell} of rates) expect(cell.heldOut).to.equal('validation');
    // and nothing else can begin
    expect(cells.slice(rates.length).map(({title}) => title)).to.deep.equal(['as it is']);
    expect(waiting.length).to.be.above(40);
  });

  it('comes to its end, with each method at its best rate, every seed, and no cell twice', () => {
    const {cells} = finished(madeUp);
    const names = [...cells.keys()];
    const loraNames = names.filter((name) => name.startsWith('lora') && name.endsWith('test'));
    expect(loraNames).to.deep.equal(
      [1, 2, 3].map((seed) => `lora_learning-rate-0.001_seed-${seed}_on-test`),
    );
    // the best of two rates was the higher one, so a third was tried
    expect(names.filter((name) => /^owlore_learning.*validation/.test(name))).to.have.length(3);
    const trained = names.filter((name) => name.endsWith('test') && !name.startsWith('untrained'));
    // 24 of methods, 15 of samplers, 10 of the best one, 4 + 5 of γ, 5 of τ, 24 of improvements, 6 with a frozen embedding
    // and more blocks, 2 of bases; the embedding's own rate is here that of OwLore. What options showed that are gone is not run again.
    expect(trained).to.have.length(24 + 15 + 10 + 9 + 5 + 24 + 6 + 2);
    const rows = stagesOf(smollm2).flatMap((stage) => stage.rows);
    expect(
      rows.filter(({options}) => 'adaptive' in options || 'refreshSimilarity' in options),
    ).to.have.length(5);
  });

  it('names a training by all that distinguishes it', () => {
    const options = {method: 'owlore', seed: 1, scores: 'outlier', tau: 13, learningRate: 5e-4};
    const name = 'owlore_learning-rate-0.0005_scores-outlier_seed-1_tau-13';
    expect(trainingName({options, heldOut: 'test'})).to.equal(name);
    expect(cellName({options, heldOut: 'test'})).to.equal(`${name}_on-test`);
  });

  it('gives finetune the options that a method has, and no others', () => {
    for (const setting of settings) {
      for (const {rows} of stagesOf(setting)) {
        for (const {method, options} of rows) {
          const all = {method, ...options, learningRate: 1e-3, seed: 1};
          const given = optionsOf(setting, {options: all, heldOut: 'test'});
          const defaults = Object.entries<OptionDescription<unknown>>(finetuneOptions).map(
            ([name, option]) => [name, option.default] as const,
          );
          const unused = meaningless({
            ...Object.fromEntries(defaults),
            ...given,
          } as unknown as FinetuneSettings);
          expect(Object.keys(given).filter((name) => Object.hasOwn(unused, name))).to.deep.equal(
            [],
          );
          expect(given).to.include({method, seed: 1, batchSize: 4});
        }
      }
    }
    const smollm2Stages = (method: PaperMethodName): string[] =>
      Object.keys(
        optionsOf(smollm2, {options: {method, learningRate: 1e-3, seed: 1}, heldOut: 'test'}),
      );
    const own = ['rank', 'refreshInterval', 'loraAlpha', 'interval', 'embedding', 'frozenDtype'];
    const expected = Object.entries({
      owlore: ['rank', 'refreshInterval', 'interval', 'embedding', 'frozenDtype'],
      lisa: ['interval', 'embedding', 'frozenDtype'],
      galore: ['rank', 'refreshInterval', 'embedding'],
      lora: ['rank', 'loraAlpha', 'frozenDtype'],
      full: ['embedding'],
    }) as Array<[PaperMethodName, string[]]>;
    for (const [method, names] of expected) {
      const given = smollm2Stages(method);
      expect(
        own.filter((name) => given.includes(name)),
        method,
      ).to.have.members(names);
    }
  });

  it('says which settings there are', () => {
    expect(settingOf('demo', true).name).to.equal('demo-quick');
    expect(() => settingOf('llama', false)).to.throw(
      '--setting must be one of smollm2, smollm2-commonsense, demo',
    );
    expect(() => settingOf('smollm2', true)).to.throw('--quick: smollm2 has no quick mode');
  });
});

describe('bench/compare: the data', () => {
  it('that is not there is named, and nothing is written', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'owlore-compare-'));
    try {
      const model = fileURLToPath(new URL('../../demo/model', import.meta.url));
      const missing = {model: folder, data: folder};
      expect(await messageOf(prepare(smollm2, missing, folder))).to.match(
        /^--model: there is no .*model\.safetensors; give the folder of the model$/,
      );
      expect(await messageOf(prepare(smollm2, {model, data: folder}, folder))).to.match(
        /^--data: ENOENT.*train\.jsonl.*; it must be the folder of GSM8K, with train\.jsonl and test\.jsonl$/,
      );
      expect(readdirSync(folder)).to.deep.equal([]);
    } finally {
      rmSync(folder, {recursive: true});
    }
  });

  it('of the demo is written as files, whose hashes tell it from other data', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'owlore-compare-'));
    try {
      const setting = settingOf('demo', true);
      const {protocol, files} = await prepare(setting, {model: setting.model!, data: ''}, folder);
      const lines = (file: string) => readFileSync(file, 'utf8').trim().split('\n');
      expect(lines(files.curve)).to.deep.equal(lines(files.validation).slice(0, 4));
      const trained = new Set(lines(files.train).map((line) => line.slice(0, 500)));
      for (const line of [...lines(files.validation), ...lines(files.test)])
        expect(trained.has(line.slice(0, 500))).to.equal(false);
      expect(protocol.examples).to.include({neutral: 11, curve: 4});
      for (const hash of Object.values(protocol.hashes)) expect(hash).to.match(/^[0-9a-f]{64}$/);
    } finally {
      rmSync(folder, {recursive: true});
    }
  });
});

describe('bench/compare: results', () => {
  let file: string;
  beforeEach(() => {
    file = fileOf(join(mkdtempSync(join(tmpdir(), 'owlore-compare-')), 'made'), 'smollm2');
  });
  afterEach(() => rmSync(join(file, '../..'), {recursive: true}));

  const cell: Cell = {options: {method: 'lora', learningRate: 1e-3, seed: 1}, heldOut: 'test'};
  const other: Cell = {options: {method: 'full', learningRate: 1e-3, seed: 1}, heldOut: 'test'};

  /** The lines of a file with two cells. */
  function written(): string[] {
    const results = openResults(file, protocol);
    for (const one of [cell, other]) writeCell(file, results, record(one, 0.9));
    return readFileSync(file, 'utf8').trimEnd().split('\n');
  }

  it('are read as they were written, one line a cell, in the order of their names', () => {
    expect(readResults(file)).to.equal(null);
    expect(written()).to.deep.equal(
      [protocol, record(other, 0.9), record(cell, 0.9)].map((line) => JSON.stringify(line)),
    );
    const {cells} = openResults(file, protocol);
    expect([...cells]).to.deep.equal([
      [cellName(other), record(other, 0.9)],
      [cellName(cell), record(cell, 0.9)],
    ]);
    expect(readdirSync(join(file, '..'))).to.deep.equal(['smollm2.jsonl']);
  });

  it('of a cell that ran once more take the place of the earlier ones', () => {
    written();
    writeCell(file, openResults(file, protocol), record(cell, 0.8));
    expect(readResults(file)!.cells.get(cellName(cell))).to.deep.equal(record(cell, 0.8));
    expect(readResults(file)!.cells.size).to.equal(2);
  });

  it('of other settings, data or versions are refused, with what differs, and nothing is changed', () => {
    const before = written();
    const others: [Partial<Protocol>, string][] = [
      [{training: {...smollm2.training, steps: 60}}, 'training.steps is 48 there and 60 here'],
      [{package: '0.2.0'}, 'package is "0.1.0" there and "0.2.0" here'],
      [{hashes: {train: 'ff'}}, 'hashes.train is undefined there and "ff" here'],
    ];
    for (const [change, said] of others) {
      expect(() => openResults(file, {...protocol, ...change})).to.throw(said);
    }
    expect(readFileSync(file, 'utf8').trimEnd().split('\n')).to.deep.equal(before);
  });

  it('that are damaged, have a cell twice or are of another format are refused', () => {
    const [first, ...lines] = written();
    const withLines = (...all: string[]): void => writeFileSync(file, all.join('\n'));
    withLines(first!, ...lines, '{"machine": ');
    expect(() => readResults(file)).to.throw(`${file} cannot be read: line 4: `);
    withLines(first!, ...lines, lines[1]!);
    expect(() => readResults(file)).to.throw(`${file} has the cell ${cellName(cell)} twice`);
    withLines(JSON.stringify({...protocol, format: 0}), ...lines);
    expect(() => readResults(file)).to.throw(`${file} has format 0, and this version reads 2`);
    withLines('');
    expect(() => readResults(file)).to.throw(`${file} cannot be read: line 1: `);
  });

  it('that are kept are in the order in which they would be written', () => {
    for (const {name} of settings) {
      const kept = fileOf(
        fileURLToPath(new URL('../../bench/results/compare', import.meta.url)),
        name,
      );
      const results = readResults(kept);
      if (results === null) continue;
      const [last] = [...results.cells.values()].reverse();
      writeCell(file, results, last!);
      expect(readFileSync(file, 'utf8') === readFileSync(kept, 'utf8'), name).to.equal(true);
    }
  });
});

describe('bench/compare: the summary and the page', () => {
  it('has means over seeds, paired differences and what follows from them', () => {
    const summary = summaryOf(smollm2, finished(madeUp));
    const [main] = summary.stages;
    const owlore = main!.rows.find(({title}) => title === 'OwLore')!;
    expect(owlore.loss).to.be.closeTo(0.9 - 0.01 - 0.002, 1e-12);
    expect(owlore.deviation).to.be.closeTo(0.001, 1e-12);
    expect(summary.before!.heldOut).to.equal(1.5);
    const claim = (better: string, worse: string) =>
      summary.claims.find((one) => one.better === better && one.worse === worse)!;
    const {difference, verdict} = claim('OwLore', 'LISA');
    // −0.01 − 2 × noise of 0.001, 0.002 and 0.003
    expect(difference!.mean).to.be.closeTo(-0.014, 1e-12);
    expect(difference!.halfWidth).to.be.closeTo((4.303 * 0.002) / Math.sqrt(3), 1e-6);
    expect(verdict).to.equal('holds');
    expect(claim('LISA-D', 'LISA').verdict).to.equal('not shown');
    expect(main!.missing).to.deep.equal([]);
    // rows of a stage beside that which they are to be better than, of the same stage or another
    const rowOf = (title: string) =>
      summary.stages.flatMap(({rows}) => rows).find((row) => row.title === title)!;
    const owsDifference = rowOf('OwLore, OWS').difference!;
    expect(owsDifference.against).to.equal('OwLore, uniform');
    expect(owsDifference.mean).to.be.closeTo(-0.014, 1e-12);
    expect(rowOf('OwLore, uniform').difference).to.equal(null);
    expect(rowOf('OwLore, Fira').difference).to.include({against: 'OwLore', mean: 0});
    const gamma = summary.stages.find(({name}) => name === 'gamma')!;
    expect(gamma.rows.map((row) => row.gamma)).to.deep.equal([1, 2, 4, 8, 12, 1, 2, 4, 8, 12]);
    // all have the same memory, so only the best is on the Pareto front
    expect(summary.paretoFront).to.deep.equal(['OwLore']);
  });

  it('counts a training without an end apart, and says which rows are missing', () => {
    const results = finished(madeUp);
    const name = 'lora_learning-rate-0.001_seed-2_on-test';
    results.cells.set(name, {...results.cells.get(name)!, failed: 'NaN', measured: null});
    for (const other of results.cells.keys()) {
      if (other.startsWith('badam') && other.endsWith('test')) results.cells.delete(other);
    }
    const {stages} = summaryOf(smollm2, results);
    const lora = stages[0]!.rows.find(({method}) => method === 'lora')!;
    expect([lora.failed, lora.losses.map(({seed}) => seed)]).to.deep.equal([1, [1, 3]]);
    expect(stages[0]!.missing).to.deep.equal(['BAdam']);
  });

  it('compares the rows of a stage that is still running by the seeds that all of them have', () => {
    const results = finished(madeUp);
    results.cells.delete('lora_learning-rate-0.001_seed-3_on-test');
    const [main, samplers] = summaryOf(smollm2, results).stages;
    for (const {title, losses} of main!.rows)
      expect(
        losses.map(({seed}) => seed),
        title,
      ).to.deep.equal([1, 2]);
    for (const {title, losses} of samplers!.rows)
      expect(
        losses.map(({seed}) => seed),
        title,
      ).to.deep.equal([1, 2, 3]);
  });

  it('compares the best rule of blocks with even draws by seeds that did not choose it', () => {
    const {stages} = summaryOf(smollm2, finished(madeUp));
    const {rows} = stages.find(({name}) => name === 'confirmation')!;
    const fresh = [4, 5, 6, 7, 8];
    for (const {losses} of rows) expect(losses.map(({seed}) => seed)).to.deep.equal(fresh);
    expect(rows.map(({difference}) => difference?.seeds)).to.deep.equal([undefined, fresh]);
    const tableRows = stages
      .filter(({name}) => name !== 'confirmation')
      .flatMap((stage) => stage.rows);
    for (const {title, losses} of tableRows)
      for (const {seed} of losses) expect(fresh, title).to.not.include(seed);
  });

  it('has a table of the questions where any were asked', () => {
    const results = finished(madeUp);
    const ask = (name: string, ...right: number[]): void => {
      const {measured, ...rest} = results.cells.get(name)!;
      const [maths, physics] = right.map((accuracy) => ({questions: 50, accuracy}));
      const tasks = {maths: maths!, physics: physics!};
      results.cells.set(name, {...rest, measured: {...measured!, tasks}});
    };
    ask('untrained_on-test', 0.1, 0.5);
    ask('lora_learning-rate-0.001_seed-1_on-test', 0.2, 0.9);
    const {header, rows} = compareTables(summaryOf(smollm2, results)).find(({name}) =>
      name.endsWith('tasks'),
    )!;
    expect([header, ...rows]).to.deep.equal([
      ['', 'maths (50)', 'physics (50)', 'mean'],
      ['before training', '10 %', '50 %', '30 %'],
      ['LoRA', '20 %', '90 %', '55 %'],
    ]);
  });

  it('has the times of steps, as a part of the first method', () => {
    const times = (title: string, seconds: number): MethodTimes => ({
      ...{title, seconds, peakBytes: 1.5e9, residentBytes: 2e9},
    });
    const record = {machine: '2 × CPU', node: 'v20', commit: 'abc', date: '2026-01-31', load: 0};
    const measured = {methods: [times('Full fine-tuning', 2), times('OwLore', 1.5)]};
    const [table, ...others] = timesTables({demo: {...record, measured}});
    expect(others).to.deep.equal([]);
    expect(table!.name).to.equal('demo times');
    expect(table!.rows).to.deep.equal([
      ['Full fine-tuning', '2.00', '1.00', '1500', '2000'],
      ['OwLore', '1.50', '0.75', '1500', '2000'],
    ]);
  });

  it('is one file that needs nothing else', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'owlore-compare-')), 'compare.html');
    writeComparison(file, [summaryOf(smollm2, finished(madeUp))]);
    const html = readFileSync(file, 'utf8');
    rmSync(join(file, '..'), {recursive: true});
    expect(html).to.include('SmolLM2-135M-Instruct on GSM8K').and.to.include('uPlot');
    expect(html).to.not.match(/<script[^>]+src=|<link|@import|url\(/);
    for (const placeholder of ['/* uplot', 'pageHead', '"comparison"'])
      expect(html).to.not.include(placeholder);
  });

  it('becomes tables, and a picture of loss against memory', () => {
    const summary = summaryOf(smollm2, finished(madeUp));
    const tables = new Map(compareTables(summary).map((table) => [table.name, table]));
    expect([...tables.keys()]).to.deep.equal(
      ['rates', ...summary.stages.map(({name}) => name), 'claims'].map((name) => `smollm2 ${name}`),
    );
    for (const {header, rows} of tables.values())
      for (const row of rows) expect(row).to.have.length(header.length);
    expect(tables.get('smollm2 rates')!.rows[1]).to.deep.equal([
      ...['LISA', '1e-4: 1.2010, 2e-4: 0.9000, 5e-4: 1.2979', '2e-4'],
    ]);
    expect(
      tables.get('smollm2 main')!.rows.find(([title]) => title === '**OwLore**'),
    ).to.deep.equal(
      // seeds 1, 2, 3: 0.889, 0.888, 0.887
      ['**OwLore**', '0.8880 ± 0.0010', '3.000', '900', '200', '2000', '50 %', '5e-4'],
    );
    expect(tables.get('smollm2 claims')!.rows[0]).to.deep.equal([
      // −0.012, −0.014, −0.016, and t = 4.303
      ...['OwLore', 'LISA', '−0.0140', '−0.0190 to −0.0090', '3', 'holds'],
    ]);
    const {document} = parseHTML(drawLossAndMemory(summary));
    // eight methods, and OwLore with a frozen embedding and 5, 8 or 12 blocks on
    expect(document.querySelectorAll('circle')).to.have.length(8 + 3);
    const texts = [...document.querySelectorAll('text')].map(({textContent}) => textContent);
    expect(texts).to.include.members(['LISA', 'OwLore', '↑ held-out loss', '0.890']);
  });

  it('reads the number of an answer as GSM8K does', () => {
    const answers = ['is 7\n#### 1,234', '#### -3.', '#### 0.5 dollars', 'it is 18', '####18'];
    expect(answers.map(numberIn)).to.deep.equal(['1234', '-3', '0.5', null, null]);
  });

  it('knows how much of a model has changed', () => {
    const weights = (...values: number[]) =>
      new Map([
        ['a', {values: Float32Array.from(values.slice(0, 2))}],
        ['b', {values: Float32Array.from(values.slice(2))}],
      ]);
    const {share, norm} = changeBetween(weights(3, 0, 4, 0), weights(3, 0, 4, 1));
    expect([share, norm]).to.deep.equal([0.25, 0.2]);
  });
});
