/** What a training would be, before any weight of its model is read. */
import {sizesOfModel, numbersIn} from '../memory/estimate/sizes';
import type {ResolvedConfig} from '../llama/config';
import {choiceOf, surveyData, type DataSurvey} from '../llama/text/data_survey';
import {textDatasetDefaults} from '../llama/text/dataset_options';
import {problemText, worstFirst} from '../llama/text/dataset_report';
import type {BackendOptions, SelectedBackend} from './backend';
import {joinedData} from './data';
import {FineTuningError} from './errors';
import type {Inspection} from './events';
import {codedError} from './failure';
import {estimateOf, nearestFit, plainBytesOf, tensorLimit} from './memory';
import {openModel} from './model';
import {nextTurn} from './next_turn';
import type {Settings} from './settings';
import {storageNeed} from './storage_need';

const OWNER = 'inspectInWorker';

/** Examples that are shown. */
const SHOWN = 3;

/** Tokens of an example that are shown. */
const MAX_TOKENS = 300;

/** @param signal Ends it; then it rejects. */
export async function inspect(
  settings: Settings,
  selectBackend: (options: BackendOptions) => Promise<SelectedBackend>,
  signal: AbortSignal,
): Promise<Inspection> {
  const turn = async (): Promise<void> => {
    await nextTurn();
    if (signal.aborted)
      throw new FineTuningError('failed', `${OWNER}: a later call has taken its place`);
  };
  await turn();
  const {backend, threads} = await selectBackend(settings);
  await turn();
  try {
    const opened = await openModel(OWNER, settings);
    const {configJson, config, tokenizer} = opened;
    await turn();
    const {fields, packing = false} = settings.dataset;
    const file = await joinedData(OWNER, settings.data, settings.dataset);
    const survey = await surveyData(OWNER, file, {
      ...{tokenizer, config, fields: fields ?? null, packing, show: SHOWN},
      onExample: async (count) => {
        if (count % 16 === 0) await turn();
      },
    });
    const used = survey.lengths.length;
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
        examples: used + survey.report.dropped,
        tokens: survey.lengths.reduce((sum, {tokens}) => sum + tokens, 0),
        problems: [
          ...worstFirst(survey.report.problems).map(problemText),
          ...(packing ? [] : longerText(survey, settings, config)),
        ],
        preview: survey.shown.map(({tokens}) => inPieces(tokens.slice(0, MAX_TOKENS))),
      },
    };
  } catch (error) {
    throw await codedError(error, 'wrong-file');
  }
}

/** What rows are too short for, if there is such an example. */
function longerText(
  survey: DataSurvey,
  {maxLength = textDatasetDefaults.maxLength}: Settings,
  {maxPositionEmbeddings}: ResolvedConfig,
): string[] {
  const length = Math.min(maxLength, maxPositionEmbeddings);
  const {cut, dropped} = choiceOf(survey, length);
  const longer = cut + dropped;
  return longer === 0
    ? []
    : [
        `${longer} longer than maxLength ${length}: the rest is cut and not learned; packing learns all`,
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
