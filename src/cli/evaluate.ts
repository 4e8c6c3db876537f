/** `tfjs-owlore evaluate`: how good a model is at a task. */
import {
  generate,
  gsm8k,
  multipleChoice,
  perplexity,
  textDataset,
  type ChoiceTask,
  type TextBatch,
} from '../llama/index';
import {gsm8kDefaults} from '../llama/evaluation/gsm8k';
import {CHOICE_TASKS} from '../llama/evaluation/tasks';
import {defineCommand, type Context} from './command';
import {countExamples} from './count_examples';
import {dataOptions} from './data_options';
import {noteDataProblems} from './data_problems';
import {loadModel, modelOptions, type Loaded} from './model_options';
import {choice, fileOrUrl, group, number, required, type SettingsOf} from './options';
import {nextTurn, type Progress} from './progress';
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
    const loaded = await loadModel(settings, context);
    try {
      const result = await scoreOf(loaded, settings, context);
      return {task, data, backend: loaded.backend, ...result};
    } finally {
      loaded.model.dispose();
    }
  },
});

function meaningless({task, shots}: Settings): Record<string, string | undefined> {
  const byTask = `--task ${task}`;
  const ofTexts = task === 'perplexity' ? undefined : byTask;
  const ofQuestions = task === 'perplexity' ? byTask : undefined;
  return {
    format: ofTexts,
    maxLength: ofTexts,
    packing: ofTexts,
    batchSize: task === 'gsm8k' ? byTask : undefined,
    shots: ofQuestions,
    shotsFrom: ofQuestions ?? (shots > 0 ? undefined : '--shots 0'),
    maxNewTokens: task === 'gsm8k' ? undefined : byTask,
  };
}

function scoreOf(loaded: Loaded, settings: Settings, context: Context): Promise<object> {
  const {task} = settings;
  if (task === 'perplexity') return scorePerplexity(loaded, settings, context);
  if (task === 'gsm8k') return scoreGsm8k(loaded, settings, context);
  return scoreChoices(task, loaded, settings, context);
}

async function scorePerplexity(
  {model, tokenizer, config}: Loaded,
  {data, limit = Infinity, format, maxLength, batchSize, packing}: Settings,
  context: Context,
): Promise<object> {
  const {console} = context;
  const total = Math.min(limit, await countExamples(data, console));
  const dataset = textDataset(data, tokenizer, {
    ...{format, maxLength, batchSize, packing, config},
    shuffle: false,
    select: (i) => i < limit,
  });
  const progress = console.progress({label: 'evaluating', total});
  async function* watched(): AsyncGenerator<TextBatch> {
    for await (const batch of dataset) {
      yield batch;
      const {used, dropped} = dataset.report;
      progress.update(used + dropped);
      await nextTurn();
    }
  }
  const result = await perplexity(model, watched());
  progress.end();
  const {used, cut, dropped, problems} = dataset.report;
  noteDataProblems(context, data, dataset.report, {maxLength, config});
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
  {data, limit, shots, shotsFrom, maxNewTokens}: Settings,
  {console}: Context,
): Promise<object> {
  const result = await gsm8k(model, tokenizer, data, {
    ...{limit, shots, shotsFrom, maxNewTokens},
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
