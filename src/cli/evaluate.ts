/** `tfjs-owlore evaluate`: how good a model is at a task. */
import {
  generate,
  gsm8k,
  multipleChoice,
  perplexity,
  textDataset,
  type ChoiceTask,
  type DatasetReport,
  type TextBatch,
  type TextDataset,
} from '../llama/index';
import {gsm8kDefaults, readProblems} from '../llama/evaluation/gsm8k';
import {readTask} from '../llama/evaluation/multiple_choice';
import {CHOICE_TASKS} from '../llama/evaluation/tasks';
import {defineCommand, type Context} from './command';
import {contentsOf} from './data_contents';
import {dataOptions} from './data_options';
import {loadModel, modelOptions, openModel, type Loaded, type OpenedModel} from './model_options';
import {choice, fileOrUrl, flag, group, number, required, type SettingsOf} from './options';
import {nextTurn} from '../common/next_turn';
import type {Progress} from './progress';
import {noteData, readExamples} from './read_examples';
import {printValues} from './table';
import {UsageError} from './usage_error';

const TASKS = ['perplexity', ...CHOICE_TASKS, 'gsm8k'] as const;
type Task = (typeof TASKS)[number];

const options = {
  ...modelOptions,
  ...group('Task', {
    task: choice<Task, 'perplexity'>('what is measured', TASKS, 'perplexity'),
    data: required(fileOrUrl("texts, or the task's own file of questions")),
    limit: number('the most examples or questions to take (default: all)', {
      integer: true,
      min: 1,
    }),
  }),
  ...group('Questions', {
    shots: number('solved examples that stand before each question', {
      integer: true,
      min: 0,
      default: gsm8kDefaults.shots,
    }),
    shotsFrom: fileOrUrl('the file of solved examples'),
    chat: flag(
      "ask gsm8k in the model's chat template, with solved examples as earlier messages and answers",
    ),
    maxNewTokens: number('the most tokens of an answer to gsm8k', {
      integer: true,
      min: 1,
      default: gsm8kDefaults.maxNewTokens,
    }),
  }),
  ...dataOptions,
};

type Settings = SettingsOf<typeof options>;

export const evaluate = defineCommand({
  name: 'evaluate',
  summary: 'Measures how good a model is at a task.',
  examples: [
    [
      'how well it predicts texts',
      'evaluate --model HuggingFaceTB/SmolLM2-135M-Instruct --data held_out.jsonl',
    ],
    [
      'MMLU, with five examples',
      'evaluate --model run/model --task mmlu --data test.jsonl --shots 5 --shots-from dev.jsonl',
    ],
  ],
  options,
  meaningless,
  async run(settings, context) {
    const {task, shots, shotsFrom, data} = settings;
    if (shots > 0 && shotsFrom === undefined) {
      throw new UsageError(`${context.given.get('shots')} ${shots} needs --shots-from, a file`);
    }
    const opened = await openModel(settings, context);
    if (settings.chat && !opened.tokenizer.hasChatTemplate) {
      throw new UsageError(
        `evaluate: --chat needs a chat template, and the tokenizer of ${settings.model} has none`,
      );
    }
    // the batches of texts are tensors
    await context.selectBackend(settings.backend);
    const report = await checkData(opened, settings, context);
    const loaded = await loadModel(settings, opened, context);
    try {
      const result = await scoreOf(loaded, settings, report, context);
      return {task, data, backend: loaded.backend, ...result};
    } finally {
      loaded.model.dispose();
    }
  },
});

function meaningless({task, shots}: Settings): Record<string, string | undefined> {
  const byTask = `--task ${task}`;
  const textsOnly = task === 'perplexity' ? undefined : byTask;
  const questionsOnly = task === 'perplexity' ? byTask : undefined;
  return {
    fields: textsOnly,
    maxLength: textsOnly,
    packing: textsOnly,
    batchSize: task === 'gsm8k' ? byTask : undefined,
    shots: questionsOnly,
    shotsFrom: questionsOnly ?? (shots > 0 ? undefined : '--shots 0'),
    maxNewTokens: task === 'gsm8k' ? undefined : byTask,
    chat: task === 'gsm8k' ? undefined : byTask,
  };
}

/**
 * Reads the data.
 *
 * @returns What became of texts; null of questions.
 * @throws if they are none of the task's, or the model cannot take them.
 */
async function checkData(
  opened: OpenedModel,
  settings: Settings,
  context: Context,
): Promise<DatasetReport | null> {
  const {config, tokenizer} = opened;
  const {task, data, fields, limit = Infinity, maxLength} = settings;
  if (task === 'perplexity') {
    const {examples} = await contentsOf(data, fields, context.console);
    await noteData(data, examples, opened, settings, context);
    const total = Math.min(limit, examples);
    const lengths = {maxLength, config};
    return readExamples(textsOf(opened, settings), {name: data, total, lengths}, context);
  }
  if (task === 'gsm8k') await readProblems(config, tokenizer, data, settings);
  else await readTask(data, {...settings, task});
  return null;
}

function textsOf(
  {tokenizer, config}: Pick<OpenedModel, 'tokenizer' | 'config'>,
  {data, fields, limit = Infinity, maxLength, batchSize, packing}: Settings,
): TextDataset {
  return textDataset(data, tokenizer, {
    ...{fields, maxLength, batchSize, packing, config},
    shuffle: false,
    select: (i) => i < limit,
  });
}

function scoreOf(
  loaded: Loaded,
  settings: Settings,
  report: DatasetReport | null,
  context: Context,
): Promise<object> {
  const {task} = settings;
  if (report) return scorePerplexity(loaded, settings, report, context);
  if (task === 'gsm8k') return scoreGsm8k(loaded, settings, context);
  return scoreChoices(task as ChoiceTask, loaded, settings, context);
}

async function scorePerplexity(
  loaded: Loaded,
  settings: Settings,
  {used, cut, dropped, problems}: DatasetReport,
  {console}: Context,
): Promise<object> {
  const dataset = textsOf(loaded, settings);
  const progress = console.progress({label: 'evaluating', total: used + dropped});
  async function* watched(): AsyncGenerator<TextBatch> {
    for await (const batch of dataset) {
      yield batch;
      const {report} = dataset;
      progress.update(report.used + report.dropped);
      await nextTurn();
    }
  }
  const result = await perplexity(loaded.model, watched());
  progress.end();
  if (!Number.isFinite(result.loss)) {
    throw new Error(
      `evaluate: the loss is ${result.loss}: the model has weights that are not finite, or computes such numbers`,
    );
  }
  printValues(
    (line) => console.print(line),
    [
      ['perplexity', result.perplexity.toPrecision(5)],
      ['loss', result.loss.toFixed(4)],
      ['tokens', inThousands(result.tokens)],
      ['examples', inThousands(used)],
    ],
  );
  return {...result, examples: used, cut, dropped, problems};
}

async function scoreChoices(
  task: ChoiceTask,
  {model, tokenizer}: Loaded,
  {data, limit, shots, shotsFrom, batchSize}: Settings,
  {console}: Context,
): Promise<object> {
  const result = await multipleChoice(model, tokenizer, data, {
    ...{task, limit, shots, shotsFrom, batchSize},
    onProgress: questionProgress(console),
  });
  console.endProgress();
  printValues(
    (line) => console.print(line),
    [
      ['questions', inThousands(result.questions)],
      ['accuracy', inPercent(result.accuracy)],
      ['normalized accuracy', inPercent(result.normalizedAccuracy, result.standardError)],
    ],
  );
  return result;
}

async function scoreGsm8k(
  {model, tokenizer}: Loaded,
  {data, limit, shots, shotsFrom, maxNewTokens, chat}: Settings,
  {console}: Context,
): Promise<object> {
  const result = await gsm8k(model, tokenizer, data, {
    ...{limit, shots, shotsFrom, maxNewTokens, chat},
    onProgress: questionProgress(console),
    generate: (given, ids, options) =>
      generate(given, ids, {
        ...options,
        onToken: async (...token) => {
          await nextTurn();
          return options?.onToken?.(...token);
        },
      }),
  });
  console.endProgress();
  printValues(
    (line) => console.print(line),
    [
      ['questions', inThousands(result.questions)],
      ['exact match', inPercent(result.exactMatch, result.standardError)],
    ],
  );
  return result;
}

/** Shows how many questions have been asked. */
function questionProgress(
  console: Context['console'],
): (done: number, total: number) => Promise<void> {
  let progress: Progress | undefined;
  return async (done, total) => {
    progress ??= console.progress({label: 'asking', total});
    progress.update(done);
    await nextTurn();
  };
}

function inThousands(count: number): string {
  return count.toLocaleString('en');
}

function inPercent(part: number, error?: number): string {
  const percent = (value: number): string => (100 * value).toFixed(2);
  return `${percent(part)} %${error === undefined ? '' : ` ± ${percent(error)}`}`;
}
