/** What a training would be, before any weight of its model is read. */
import {sizesOfModel, numbersIn} from '../memory/estimate/sizes';
import type {ResolvedConfig} from '../llama/config';
import {openLlama} from '../llama/files/load_llama';
import {choiceOf, surveyData, type DataSurvey} from '../llama/text/data_survey';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {emptyReport, problemText, worstFirst} from '../llama/text/dataset_report';
import type {BackendOptions, SelectedBackend} from './backend';
import {joinedData} from './data';
import {FineTuningError} from './errors';
import type {Inspection} from './events';
import {codedError} from './failure';
import {estimateOf, nearestFit, plainBytesOf, tensorLimit} from './memory';
import type {ReadingProgress} from './messages';
import {openModel, type OpenedModel} from './model';
import {isHeldOut, MAX_HELD_OUT} from '../training_defaults';
import {nextTurn} from '../common/next_turn';
import type {Settings} from './settings';
import {storageNeed} from './storage_need';

const OWNER = 'inspectInWorker';

/** Examples that are shown. */
const SHOWN = 3;

/** Tokens of an example that are shown. */
const MAX_TOKENS = 300;

/**
 * @param signal Ends it; then it rejects.
 * @param onProgress Called with how much of the data is read, where that is not done at once.
 */
export async function inspect(
  settings: Settings,
  selectBackend: (options: BackendOptions) => Promise<SelectedBackend>,
  signal: AbortSignal,
  onProgress: (progress: ReadingProgress) => void,
): Promise<Inspection> {
  const turn = async (): Promise<void> => {
    await nextTurn();
    if (signal.aborted)
      throw new FineTuningError('failed', `${OWNER}: ended by a later call, or by its signal`);
  };
  await turn();
  const {backend, threads} = await selectBackend(settings);
  await turn();
  try {
    const opened = await openModel(OWNER, settings);
    const {configJson, config} = opened;
    await turn();
    // of files at hand also the headers of the weights
    if (typeof settings.model !== 'string') await (await openLlama(settings.model)).close();
    await turn();
    const {survey, wrong} = await surveyOf(settings, opened, turn, onProgress);
    const {packing = false} = settings.dataset;
    const maxLength = rowLength(settings, config);
    const examples = survey.lengths.length + survey.report.dropped;
    const isAllOut = survey.lengths.length > 0 && isAllHeldOut(settings, examples);
    const usable = isAllOut
      ? []
      : survey.lengths.filter(({prompt}) => packing || prompt <= maxLength);
    const used = usable.length;
    const batchSize = packing
      ? settings.batchSize
      : Math.max(1, Math.min(settings.batchSize, used));
    const sized = {...settings, batchSize};
    await turn();
    const estimate = estimateOf(sized, backend, configJson, config);
    await turn();
    const plainBytes = plainBytesOf(sized, backend, configJson, config);
    const limit = tensorLimit(backend);
    const isTooMuch = limit !== null && estimate.total > limit;
    const nearest = isTooMuch ? await nearestFit(sized, backend, configJson, config, limit, turn) : null; // prettier-ignore
    const sizes = sizesOfModel(OWNER, configJson)!;
    return {
      config: {
        parameters: numbersIn([...sizes.blocks.flat(), ...sizes.vocabulary, ...sizes.others]),
        blocks: config.numHiddenLayers,
        width: config.hiddenSize,
        vocabulary: config.vocabSize,
        maxLength: config.maxPositionEmbeddings,
        architecture: config.architecture,
      },
      ...{estimate, plainBytes, limit, nearest, backend, threads},
      storage: await storageNeed(sized, config, estimate),
      data: {
        examples,
        usable: used,
        tokens: usable.reduce((sum, {tokens}) => sum + tokens, 0),
        problems: [
          ...wrong,
          ...(isAllOut ? [`${examples} held out, and no other; give more`] : []),
          ...worstFirst(survey.report.problems).map(problemText),
          ...(packing ? [] : longerTexts(survey, maxLength)),
        ],
        preview: survey.shown.map(({tokens}) => inPieces(tokens.slice(0, MAX_TOKENS))),
      },
    };
  } catch (error) {
    throw await codedError(error, 'wrong-file');
  }
}

/** The examples, in the way they are asked for; `wrong` says why none can be read, where that is the fault of the data. */
async function surveyOf(
  {data, dataset}: Settings,
  {tokenizer, config}: Pick<OpenedModel, 'tokenizer' | 'config'>,
  turn: () => Promise<void>,
  onProgress: (progress: ReadingProgress) => void,
): Promise<{survey: DataSurvey; wrong: string[]}> {
  const {template: _, ...forms} = dataset;
  try {
    const file = await joinedData(OWNER, data, dataset);
    const survey = await surveyData(OWNER, file, {
      ...{...forms, tokenizer, config, show: SHOWN},
      onExample: async (count) => {
        if (count % 16 === 0) await turn();
      },
      onRead: (done, total) => onProgress({done, total}),
    });
    return {survey, wrong: []};
  } catch (cause) {
    const {code, message} = await codedError(cause);
    if (cause instanceof FineTuningError || code !== 'failed') throw cause;
    const survey = {shown: [], lengths: [], report: emptyReport(0)};
    return {survey, wrong: [message.replace(`${OWNER}: `, '')]};
  }
}

/** Whether none of so many examples is left to train on. */
function isAllHeldOut({validationSplit}: Settings, examples: number): boolean {
  const all = Array.from({length: Math.min(examples, MAX_HELD_OUT + 1)}, (_, i) => i);
  return all.every((i) => isHeldOut({validationSplit}, i));
}

/** Tokens of a row. */
function rowLength(
  {maxLength = textDatasetDefaults.maxLength}: Settings,
  {maxPositionEmbeddings}: ResolvedConfig,
): number {
  return Math.min(maxLength, maxPositionEmbeddings);
}

/** What rows are too short for, if there is such an example. */
function longerTexts(survey: DataSurvey, maxLength: number): string[] {
  const {cut, dropped} = choiceOf(survey, maxLength);
  return [
    ...(dropped > 0
      ? [
          `${dropped} dropped: no room for the answer in maxLength ${maxLength}, which the prompt fills`,
        ]
      : []),
    ...(cut > 0
      ? [
          `${cut} longer than maxLength ${maxLength}: the rest is cut and not learned; with the option \`packing\` all is`,
        ]
      : []),
  ];
}

/** Tokens as pieces of text that are learned, or not. */
function inPieces(
  tokens: ReadonlyArray<{text: string; isLearned: boolean}>,
): Array<{text: string; isLearnt: boolean}> {
  const pieces: Array<{text: string; isLearnt: boolean}> = [];
  tokens.forEach(({text, isLearned}, i) => {
    // the first token has nothing before it by which it could be learned
    const isLearnt = isLearned && i > 0;
    const last = pieces.at(-1);
    if (last?.isLearnt === isLearnt) last.text += text;
    else pieces.push({text, isLearnt});
  });
  return pieces;
}
