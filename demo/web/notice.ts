/** The one place where the page says that something went wrong, or that something can be done. */
import {byId, element} from './dom';

export interface Action {
  label: string;
  act: () => void;
}

/** Shows a message with what can be done about it. */
export function showNotice(
  text: string,
  actions: readonly Action[] = [],
  kind: 'bad' | 'friendly' = 'bad',
): void {
  const notice = byId('notice');
  notice.classList.toggle('friendly', kind === 'friendly');
  const buttons = [...actions, {label: 'Close', act: () => undefined}].map(({label, act}) => {
    const button = element('button', {type: 'button', textContent: label});
    button.addEventListener('click', () => {
      hideNotice();
      act();
    });
    return button;
  });
  notice.replaceChildren(element('p', {textContent: text}), ...buttons);
  notice.hidden = false;
}

export function hideNotice(): void {
  byId('notice').hidden = true;
}
