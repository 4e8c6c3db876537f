/**
 * The paper's comparison: every method on one model and one task, with the same steps and data.
 *
 *   npm run bench -- compare --setting demo --quick --work FOLDER
 *   npm run bench -- compare --setting smollm2 --model FOLDER --data FOLDER --work FOLDER
 *   npm run bench -- compare … --list              # what is done and what is to come
 *   npm run bench -- compare … --only rates        # one stage: rates, main, samplers, confirmation, …
 *   npm run bench -- compare … --max-cells 3       # no more than 3 cells
 *   npm run bench -- compare … --verify NAME       # runs a cell that is done once more, and demands its loss to the last digit
 *   npm run bench -- compare … --times             # what a step of each method takes; on a machine that does nothing else
 *   npm run bench -- compare --page                # bench/compare.html, of all results
 *
 * Methods are paired by seed. It goes on where it was stopped, by whatever: a cell that is done is not run again, one that was killed goes on
 * from its checkpoint. Figures go to `--results`, a folder that is committed, and from there to `docs/` by `npm run bench -- tables`; everything else to
 * `--work`, which may be removed when all is done.
 */
import {mkdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {lockFolder} from '../../src/files/folder_lock';
import {asUsage, messageOf, UsageError} from '../../src/cli/usage_error';
import {goneOptions, planOf, stageNames, type Planned, type StageName} from '../compare/plan';
import {prepare, type Prepared} from '../compare/prepare';
import {fileOf, openResults, writeCell, type CellRecord, type Results} from '../compare/records';
import {removeWork, runCell} from '../compare/run_cell';
import {writeComparison} from '../compare/page';
import {settingOf, settings, type Given, type Setting} from '../compare/settings';
import {summariesIn, withRates} from '../compare/summaries';
import {timeMethods} from '../compare/times';
import {provenance, writeRecord} from '../results/store';

const page = fileURLToPath(new URL('../compare.html', import.meta.url));
const defaultResults = fileURLToPath(new URL('../results/compare', import.meta.url));

try {
  await main();
} catch (error) {
  console.error(`error: ${messageOf(error)}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

async function main(): Promise<void> {
  const {values: flags} = asUsage(() =>
    parseArgs({
      options: {
        setting: {type: 'string', default: 'demo'},
        quick: {type: 'boolean', default: false},
        model: {type: 'string'},
        data: {type: 'string'},
        work: {type: 'string'},
        results: {type: 'string', default: defaultResults},
        only: {type: 'string'},
        list: {type: 'boolean', default: false},
        verify: {type: 'string'},
        times: {type: 'boolean', default: false},
        page: {type: 'boolean', default: false},
        'max-cells': {type: 'string'},
      },
    }),
  );
  if (flags.page) {
    makePage(flags.results);
    return;
  }
  const chosen = settingOf(flags.setting, flags.quick);
  const {work} = flags;
  if (work === undefined) {
    throw new UsageError(
      '--work is missing: a folder for what cells work with, some 3 GB of it on SmolLM2',
    );
  }
  const only = stageOf(flags.only);
  const maxCells = maxCellsOf(flags['max-cells']);
  mkdirSync(work, {recursive: true});
  const lock = flags.list ? null : asUsage(() => lockFolder('--work', work));
  try {
    const setting = withRates(chosen, flags.results);
    const prepared = await prepare(setting, givenFor(setting, flags), work);
    const file = fileOf(flags.results, setting.name);
    const results = openResults(file, prepared.protocol);
    if (flags.list) list(setting, results, only);
    else if (flags.verify !== undefined) await verify(setting, prepared, results, flags.verify);
    else if (flags.times) await writeTimes(setting, prepared, results);
    else await runAll(setting, prepared, file, results, only, maxCells);
  } finally {
    lock?.release();
  }
}

/** The page of all settings that have results. */
function makePage(folder: string): void {
  const summaries = summariesIn(folder);
  writeComparison(page, summaries);
  console.log(`${page}: ${summaries.map(({name}) => name).join(', ') || 'no results yet'}`);
}

function stageOf(name: string | undefined): StageName | undefined {
  if (name === undefined) return undefined;
  const found = stageNames.find((stage) => stage === name);
  if (found) return found;
  throw new UsageError(`--only must be one of ${stageNames.join(', ')}; got ${name}`);
}

/** The most cells to run. */
function maxCellsOf(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new UsageError(`--max-cells must be a number of cells from 1 on; got ${text}`);
}

function givenFor(
  {name, model: own, data: what}: Setting,
  {model, data}: {model?: string | undefined; data?: string | undefined},
): Given {
  if (own !== null && model !== undefined) {
    throw new UsageError(
      `--model has no meaning with --setting ${name}, which has a model of its own`,
    );
  }
  if (what === null && data !== undefined) {
    throw new UsageError(`--data has no meaning with --setting ${name}, which has data of its own`);
  }
  const folder = model ?? own;
  if (folder === null)
    throw new UsageError(`--model is missing: the folder of the model of ${name}`);
  if (what !== null && data === undefined) throw new UsageError(`--data is missing: ${what}`);
  return {model: folder, data: data ?? ''};
}

function list(setting: Setting, {cells}: Results, only: StageName | undefined): void {
  for (const [name, {measured, failed, date}] of cells) {
    console.log(
      `done     ${name}: ${measured ? measured.heldOut.loss.toFixed(4) : failed}, ${date}`,
    );
  }
  const plan = planOf(setting, cells, only);
  for (const {stage, title} of plan.cells) console.log(`to come  ${stage}: ${title}`);
  for (const {stage, title} of plan.waiting)
    console.log(`waiting  ${stage}: ${title}, for its rate`);
  console.log(
    `${cells.size} cells are done, ${plan.cells.length} are to come, ${plan.waiting.length} wait for a rate, and the search for rates may take more`,
  );
}

/** Runs what is to come, one cell after the other; the plan is made anew after each, since rates follow from results. */
async function runAll(
  setting: Setting,
  prepared: Prepared,
  file: string,
  results: Results,
  only: StageName | undefined,
  maxCells: number,
): Promise<void> {
  for (let ran = 0; ran < maxCells; ran++) {
    const plan = planOf(setting, results.cells, only);
    const [next] = plan.cells;
    if (next === undefined) {
      const waiting =
        plan.waiting.length > 0
          ? `; ${plan.waiting.length} wait for a rate: run without --only first`
          : '';
      console.log(`all cells are done${waiting}`);
      return;
    }
    const record = await run(setting, prepared, next);
    writeCell(file, results, record);
    removeWork(prepared, next.cell);
  }
}

async function run(
  setting: Setting,
  prepared: Prepared,
  {stage, title, cell}: Planned,
): Promise<CellRecord> {
  const start = performance.now();
  const before = provenance();
  const outcome = await runCell(setting, prepared, cell);
  const measured = 'measured' in outcome ? outcome.measured : null;
  const said = measured
    ? `held-out loss ${measured.heldOut.loss.toFixed(4)}, neutral ${measured.neutral.loss.toFixed(4)}`
    : `no end: ${(outcome as {failed: string}).failed}`;
  const minutes = (performance.now() - start) / 60_000;
  console.log(
    `${new Date().toISOString()} ${stage}: ${title}: ${said}, ${minutes.toFixed(1)} minutes`,
  );
  return {
    ...before,
    cell,
    ...('failed' in outcome && {failed: outcome.failed}),
    measured,
  };
}

/** Puts what steps take into the store of results, from which `tables` makes a table. */
async function writeTimes(setting: Setting, prepared: Prepared, {cells}: Results): Promise<void> {
  const before = provenance();
  const order = settings.map(({name}) => name);
  const measured = {methods: await timeMethods(setting, prepared, cells)};
  await writeRecord('compare_times', setting.name, {...before, measured}, order);
}

/** Runs a cell that is done once more. @throws if its losses are not those that were recorded. */
async function verify(
  setting: Setting,
  prepared: Prepared,
  {cells}: Results,
  name: string,
): Promise<void> {
  const record = cells.get(name);
  if (record === undefined) {
    throw new UsageError(
      `--verify: there is no such cell: ${name}; there are ${[...cells.keys()].join(', ') || 'none'}`,
    );
  }
  const gone = goneOptions(record.cell);
  if (gone.length > 0) {
    throw new UsageError(
      `--verify: ${name} was made by options that this library no longer has: ${gone.join(', ')}`,
    );
  }
  if (record.measured === null) {
    throw new UsageError(`--verify: ${name} came to no end, so it has no loss: ${record.failed}`);
  }
  // with scores of its own: those of the other cells may be of older code
  const again = {...prepared, folder: join(prepared.folder, 'verify')};
  rmSync(again.folder, {recursive: true, force: true});
  const outcome = await runCell(setting, again, record.cell);
  rmSync(again.folder, {recursive: true, force: true});
  const losses = (measured: CellRecord['measured']): string =>
    JSON.stringify([
      measured?.heldOut,
      measured?.neutral,
      measured?.training?.steps.loss,
      measured?.training?.curve,
    ]);
  const measured = 'measured' in outcome ? outcome.measured : null;
  if (losses(measured) !== losses(record.measured)) {
    throw new Error(
      `${name} came out otherwise: ${losses(record.measured)} was recorded at ${record.commit}, and now, at ` +
        `${provenance().commit}, it is ${losses(measured)}`,
    );
  }
  console.log(
    `${name}: all losses are those recorded, to the last digit; held out ${measured?.heldOut.loss}`,
  );
}
