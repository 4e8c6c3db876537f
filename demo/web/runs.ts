/** Earlier runs in this browser's storage. */
import {byId, element} from './dom';
import {deleteButton} from './delete_button';
import {deleteRun, listRuns, type RunSummary} from './library';
import {dataOf, modelOf} from './run_words';
import {bytesText, runLossText, timeText} from './words';

const states = {
  here: 'the run above',
  running: 'open in another tab',
  stopped: 'stopped',
  done: 'done',
} as const;

export class Runs {
  /** The name of the run that this page has open, if any. */
  current: string | null = null;

  /**
   * @param open Opens a run, or has it go on.
   * @param onDelete Called with the name of one that is no more.
   */
  constructor(
    private readonly open: (run: RunSummary) => void,
    private readonly onDelete: (name: string) => void,
  ) {}

  /** Reads the list anew, and returns it. */
  async refresh(): Promise<RunSummary[]> {
    const runs = await listRuns();
    runs.sort((a, b) => b.changed - a.changed);
    byId('runs').replaceChildren(...runs.map((run) => this.item(run)));
    const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
    byId('runs-note').textContent =
      runs.length === 0
        ? 'Runs are kept in this browser. A closed tab goes on where it was.'
        : `${bytesText(bytes)} in this browser.`;
    return runs;
  }

  set isLocked(isLocked: boolean) {
    for (const button of byId('runs').querySelectorAll('button')) button.disabled = isLocked;
  }

  private item(run: RunSummary): HTMLElement {
    const {step, steps} = run;
    const state = run.name === this.current ? 'here' : run.state;
    const isHeld = state === 'here' || state === 'running';
    const open = element('button', {
      type: 'button',
      textContent: state === 'done' ? 'Open' : step === 0 ? 'Begin it again' : 'Go on',
      hidden: isHeld,
    });
    open.addEventListener('click', () => this.open(run));
    const title = titleOf(run);
    open.setAttribute('aria-label', `${open.textContent}: ${title}`);
    const remove = deleteButton(title, async () => {
      await deleteRun(run.name);
      this.onDelete(run.name);
      await this.refresh();
    });
    remove.hidden = isHeld;
    const loss = runLossText(run);
    return element(
      'li',
      {},
      element('span', {className: 'name', textContent: title}),
      element('span', {
        className: 'small',
        textContent: [
          states[state],
          `step ${step} of ${steps}`,
          ...(loss === null ? [] : [loss]),
          bytesText(run.bytes),
          timeText(run.changed),
        ].join(' · '),
      }),
      element('span', {className: 'buttons'}, open, remove),
    );
  }
}

/** A sentence begins with a capital letter; a name of the Hub or of a file stays as it is. */
function titleOf(run: RunSummary): string {
  return `${modelOf(run)} on ${dataOf(run)}`.replace(
    /^(the built-in|your) /,
    (words) => words.charAt(0).toUpperCase() + words.slice(1),
  );
}
