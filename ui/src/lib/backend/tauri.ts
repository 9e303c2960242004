// The backend of the app that ships: the generated commands, with refusals thrown.

import { Channel } from '@tauri-apps/api/core';
import { commands, type AppError, type AppEvent } from '../bindings';
import type { Backend } from './types';

type Answer = { status: 'ok'; data: unknown } | { status: 'error'; error: AppError };

async function unwrap(answer: Promise<Answer>): Promise<unknown> {
  const { status, ...rest } = await answer;
  if (status === 'error') throw (rest as { error: AppError }).error;
  return (rest as { data: unknown }).data;
}

const calls = Object.entries(commands).map(([name, call]) => [
  name,
  (...args: unknown[]) => unwrap((call as (...args: unknown[]) => Promise<Answer>)(...args)),
]);

export const tauri: Backend = {
  ...(Object.fromEntries(calls) as Backend),
  async subscribe(listener) {
    const channel = new Channel<AppEvent>();
    channel.onmessage = listener;
    await unwrap(commands.subscribe(channel));
  },
};
