/** `finetune --dry-run`: what a run would train on, and what it would take, before any weight is read. */
import {estimateMemory} from '../memory/estimate/index';
import {bytesText, memoryFor, memoryLimit} from '../memory/limit';
import {describeData} from '../llama/text/data_preview';
import {
  bestMaxLength,
  choiceOf,
  surveyData,
  type DataSurvey,
  type LengthChoice,
  type TokenizedExample,
} from '../llama/text/data_survey';
import {resolveDatasetOptions} from '../llama/text/dataset_options';
import {expectedSampling, hasComputedScores, type BlockSampling} from './block_sampling';
import type {Context} from './command';
import type {CommandConsole} from './console';
import {contentsOf, type DataContents} from './data_contents';
import {noteProblems} from './data_problems';
import {checkDisk, diskNeed} from './disk_check';
import {estimateOptionsOf} from '../memory/estimated_settings';
import type {FinetuneSettings} from './finetune_options';
import {FittedDefaults} from './fitted_defaults';
import {checkMemory} from './memory_check';
import type {OpenedModel} from './model_options';
import {nextTurn} from '../common/next_turn';
import {noteData} from './read_examples';
import type {BackendName} from './register_backend';
import {bar, newTable, printValues} from './table';
import {noteSameData} from './training_data';
import {isHeldOut, stepsOf, tenthOf} from '../training_defaults';
import {asUsage} from './usage_error';
import {counted} from './words';

type Settings = FinetuneSettings & {backend: BackendName};

/** Reads the data of a run, and prints what the run would be. It writes nothing. */
export async function dryRun(
  settings: Settings,
  opened: OpenedModel,
  context: Context,
): Promise<object> {
  const {console, given} = context;
  const {data, validation, packing} = settings;
  const max = opened.config.maxPositionEmbeddings;
  const {maxLength} = asUsage(() =>
    resolveDatasetOptions('textDataset', {
      maxLength: settings.maxLength,
      config: opened.config,
    }),
  );
  const training = await look(data, settings, opened, context, (i) => !isHeldOut(settings, i));
  const heldOut = await (validation === undefined
    ? look(data, settings, opened, context, (i) => isHeldOut(settings, i), training.contents)
    : look(validation, settings, opened, context));
  if (validation !== undefined)
    noteSameData(settings, training.contents, heldOut.contents, console);

  const {survey} = training;
  const [first] = survey.shown;
  if (!first) throw new Error(`finetune: ${data} has no example that can be used`);
  printExample(first, data, maxLength, console);
  const lengths = choices(survey, maxLength, max);

  const fitted = new FittedDefaults(given);
  const used = Math.max(1, survey.lengths.length - choiceOf(survey, maxLength).dropped);
  const tokens = survey.lengths.reduce((sum, length) => sum + length.tokens, 0);
  const batchSize = packing
    ? settings.batchSize
    : fitted.atMost('batchSize', settings.batchSize, used, counted(used, 'example'));
  const rows = packing ? Math.ceil(tokens / maxLength) : used;
  const steps = stepsOf(settings, Math.ceil(rows / batchSize));
  const names = Array.from({length: opened.config.numHiddenLayers}, (_, i) => `model.layers.${i}`);
  const sampling = await expectedSampling(settings, names, steps, fitted, context);
  const line = fitted.line();
  if (line !== null) console.note(line);
  printBlocks(settings, names, sampling, steps, console);

  const {saveEvery = tenthOf(steps)} = settings;
  const sized = {...settings, batchSize, maxLength, saveEvery};
  const heldOutExamples = heldOut.survey.lengths.length;
  const sizes = await printSizes(sized, {steps, heldOutExamples, batchSize}, opened, context);
  printLengths(survey, lengths, {maxLength, max, packing}, console);
  const resultOf = ({contents, survey: {report}}: Looked): object => ({
    examples: contents.examples,
    usable: report.used,
    problems: report.problems,
  });
  return {
    data: {file: data, ...training.found, ...resultOf(training)},
    heldOut: {file: validation ?? data, ...heldOut.found, ...resultOf(heldOut)},
    example: first,
    lengths,
    bestMaxLength: bestMaxLength(survey, max),
    ...{maxLength, batchSize, steps},
    blocks: names.map((block, i) => ({
      block,
      probability: sampling?.probabilities[i] ?? 1,
      steps: steps * (sampling?.probabilities[i] ?? 1),
    })),
    ...(sampling && {gamma: sampling.options.gamma, interval: sampling.options.interval}),
    ...sizes,
  };
}

/** What was seen of a file. */
interface Looked {
  found: object;
  contents: DataContents;
  survey: DataSurvey;
}

/**
 * Reads a file, and says what it is and what is wrong with it.
 *
 * @param part Which of its examples; default all.
 * @param known What it holds, if it was read before: this is its held-out part.
 */
async function look(
  path: string,
  {fields, validation, maxLength, packing}: Settings,
  {tokenizer, config}: OpenedModel,
  context: Context,
  part: (index: number) => boolean = () => true,
  known?: DataContents,
): Promise<Looked> {
  const {console} = context;
  const contents = known ?? (await contentsOf(path, fields, console));
  const {examples} = contents;
  if (!known) await noteData(path, examples, {tokenizer}, {fields}, context);
  const found = await describeData('data', path, {format: 'auto', fields: fields ?? null});
  const name = known || path === validation ? `${path}, held out` : path;
  const progress = console.progress({label: `reading ${name}`, total: examples});
  const survey = await surveyData('data', path, {
    ...{tokenizer, config, fields: fields ?? null, packing, select: part},
    onExample: async (count) => {
      progress.update(count);
      await nextTurn();
    },
  });
  progress.end();
  noteProblems(context, name, survey.report, {maxLength, config});
  return {found, contents, survey};
}

/** Tokens of an example that are shown, of a longer one those at both ends. */
const MAX_SHOWN = 300;

/** Prints an example token by token, in green or in brackets what the loss counts. */
function printExample(
  {line, tokens}: TokenizedExample,
  path: string,
  maxLength: number,
  console: CommandConsole,
): void {
  const {hasColors} = console;
  const counts = tokens.filter(({isLearned}, i) => isLearned && i > 0 && i <= maxLength).length;
  console.print(
    `The example in line ${line} of ${path}, in ${counted(tokens.length, 'token')}. The loss counts the ${counts} ` +
      `${hasColors ? 'green ones' : 'in brackets'}:`,
  );
  const hidden = tokens.length > MAX_SHOWN ? tokens.length - MAX_SHOWN : 0;
  tokens.forEach(({text, isLearned}, i) => {
    const from = MAX_SHOWN / 2;
    if (hidden > 0 && i === from) console.write(` … ${counted(hidden, 'token')} … `, {isDim: true});
    if (hidden > 0 && i >= from && i < from + hidden) return;
    if (i === maxLength + 1)
      console.write(`\n… cut off by --max-length ${maxLength}: …\n`, {isDim: true});
    const shown = text.replaceAll('\n', '↵\n');
    const isCounted = isLearned && i > 0 && i <= maxLength;
    if (hasColors) {
      console.write(shown, isCounted ? {color: 'green'} : {});
      console.write('|', {isDim: true});
    } else console.write(isCounted ? `[${shown}]` : `${shown}|`);
  });
  console.print('\n');
}

/** Lengths of rows that are asked about, beside that of the run, the best and the longest. */
const LENGTHS = [
  64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384, 32768,
];

function choices(survey: DataSurvey, maxLength: number, max: number): LengthChoice[] {
  const best = bestMaxLength(survey, max);
  const all = [...new Set([...LENGTHS, maxLength, best, max])]
    .filter((length) => length <= max)
    .sort((a, b) => a - b)
    .map((length) => choiceOf(survey, length));
  // once nothing is cut, longer rows change nothing
  const enough = all.findIndex(({cut, dropped}) => cut + dropped === 0);
  return all.filter(
    ({maxLength: length}, i) => enough < 0 || i <= enough || [maxLength, best].includes(length),
  );
}

/** Prints how long examples are, and which `--max-length` to take. */
function printLengths(
  survey: DataSurvey,
  lengths: readonly LengthChoice[],
  {maxLength, max, packing}: {maxLength: number; max: number; packing: boolean},
  console: CommandConsole,
): void {
  const all = survey.lengths.length;
  console.print(
    '\nHow long examples are, and of how many a --max-length would cut the end, or drop all because no room is left for the answer:',
  );
  const table = newTable(['tokens, up to', 'examples', '', 'cut', 'dropped'], [0, 1, 3, 4]);
  const fitting = lengths.map(({cut, dropped}) => all - cut - dropped);
  lengths.forEach(({maxLength: length, cut, dropped}, i) => {
    const count = fitting[i]! - (fitting[i - 1] ?? 0);
    table.push([length, count, bar(all === 0 ? 0 : count / all), cut, dropped]);
  });
  console.print(table.toString());
  if (packing) {
    console.print('With --packing, examples go on in the next row, and none is cut or dropped.');
    return;
  }
  const best = bestMaxLength(survey, max);
  const choice = choiceOf(survey, best);
  const enough = all - choice.cut - choice.dropped;
  console.print(
    `Take --max-length ${best}, which is enough for ${enough.toLocaleString('en')} of ${counted(all, 'example')}` +
      `${best === max ? ' and the most that the model takes' : ''}.${besides(survey, best, maxLength)}`,
  );
}

/** What is to be said of a run's own length. */
function besides(survey: DataSurvey, best: number, maxLength: number): string {
  if (maxLength === best) return '';
  const {cut, dropped} = choiceOf(survey, maxLength);
  if (maxLength < best) {
    const drops = dropped > 0 ? `, and drop ${dropped.toLocaleString('en')}` : '';
    return ` This run's ${maxLength} would cut ${cut.toLocaleString('en')}${drops}.`;
  }
  const enough = survey.lengths.length - cut - dropped;
  return ` This run's ${maxLength} is enough for ${enough.toLocaleString('en')}, and takes longer.`;
}

/** Prints how often blocks will train. */
function printBlocks(
  settings: Settings,
  names: readonly string[],
  sampling: BlockSampling | null,
  steps: number,
  console: CommandConsole,
): void {
  const all = counted(names.length, 'block');
  if (!sampling) {
    const what = settings.method === 'lora' ? 'The adapters of all' : 'All';
    console.print(`${what} ${all} train in each of ${counted(steps, 'step')}.`);
    return;
  }
  const {probabilities, options} = sampling;
  const times = (p: number): string => (p * steps).toFixed(1).replace(/\.0$/, '');
  const isSame = probabilities.every((p) => Math.abs(p - probabilities[0]!) < 1e-9);
  const how = isSame ? `; each trains in ${times(probabilities[0]!)} of them on average` : '';
  const later = hasComputedScores(settings)
    ? `, before the ${settings.scores} scores of the weights make some more likely (--scores FILE says which)`
    : '';
  console.print(
    `Of ${all} ${options.gamma} train at a time, others after every ${options.interval} of ${counted(steps, 'step')}${how}${later}.`,
  );
  if (isSame) return;
  const table = newTable(['block', 'probability', 'steps on', ''], [1, 2]);
  names.forEach((name, i) => {
    const p = probabilities[i]!;
    table.push([name, p.toFixed(3), times(p), bar(p)]);
  });
  console.print(table.toString());
}

/** Prints the memory and the disk that a run takes; notes if they do not suffice. */
async function printSizes(
  settings: Settings & {saveEvery: number},
  data: Parameters<typeof diskNeed>[2],
  opened: OpenedModel,
  context: Context,
): Promise<object> {
  const {console} = context;
  const {backend, engine} = settings;
  const options = estimateOptionsOf(settings, opened.config);
  const {total, ...parts} = estimateMemory(opened.configJson, options);
  const needed = memoryFor(backend, total);
  const limit = memoryLimit(backend);
  const disk = diskNeed(settings, opened, data);
  const partsText = Object.entries(parts)
    .map(([part, bytes]) => `${part} ${bytesText(bytes)}`)
    .join(', ');
  const room = limit ? `, and ${limit.what} is ${bytesText(limit.bytes)}` : '';
  console.print();
  printValues(
    (line) => console.print(line),
    [
      ['steps', `${data.steps}, in batches of ${data.batchSize} × ${options.maxLength} tokens`],
      ...(engine === 'tfjs'
        ? ([
            ['memory', `some ${bytesText(needed)}${room}`],
            ['tensors', `${bytesText(total)}: ${partsText}`],
          ] as const)
        : []),
      ['disk', `${bytesText(disk.min)} to ${bytesText(disk.max)}, with checkpoints and model`],
    ],
  );
  await checkMemory({...settings, force: true}, opened, context);
  // without --output, where the command is run
  const output = (settings.output as string | undefined) ?? '.';
  await checkDisk({...settings, output, force: true}, opened, data, context);
  return {
    ...(engine === 'tfjs' && {
      memory: {...parts, total, needed, limit: limit?.bytes ?? null},
    }),
    disk,
  };
}
